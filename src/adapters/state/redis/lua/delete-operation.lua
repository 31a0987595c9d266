-- Drops an operation's record; of an unfinished one also its interest.
--
-- Guarantee: with the last operation that wants it an unfinished job ends, with the last of all it is forgotten.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] id of the operation
--
-- Returns {accepted, effects, record}, the record nil where it was forgotten, or nil where the job is not known.

--- include finish

local job, about = load_job(KEYS[1])
if not job then return nil end
local field = 'operation:' .. ARGV[4]
local operation = redis.call('HGET', about.key, field)
if not operation then return refused(about) end
local now = read_clock()
local effects = {}
redis.call('HDEL', about.key, field)
redis.call('DEL', operation_pointer(ARGV[4]))
job.operations = job.operations - 1
if string.match(operation, '^%d+ %d+ %- ') then job.wanted = job.wanted - 1 end
if job.wanted == 0 and not is_finished(job) then
  finish(job, about, 'cancelled', status_outcome(1, 'the operation was deleted'), now, effects)
else
  job.version = job.version + 1
  notify(job, effects)
end
if job.operations == 0 then
  forget_job(about)
  return answer(false, true, effects)
end
save_job(job, about, now)
return answer(about, true, effects)
