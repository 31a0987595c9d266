-- One client wants the answer no more.
--
-- Guarantee: the job goes on while any other operation wants it, and ends with the last.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] id of the operation
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include finish

local job, about = load_job(KEYS[1])
if not job then return nil end
local field = 'operation:' .. ARGV[4]
local operation = redis.call('HGET', about.key, field)
if is_finished(job) or not operation then return refused(about) end
local number, created, json = string.match(operation, '^(%d+) (%d+) %- (.*)$')
if not number then return refused(about) end
local now = read_clock()
local effects = {}
redis.call('HSET', about.key, field, number .. ' ' .. created .. ' ' .. string.format('%d ', now) .. json)
job.wanted = job.wanted - 1
if job.wanted == 0 then
  finish(job, about, 'cancelled', status_outcome(1, 'the operation was cancelled'), now, effects)
else
  job.version = job.version + 1
  notify(job, effects)
end
save_job(job, about, now)
return answer(about, true, effects)
