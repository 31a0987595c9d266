-- Joins the unfinished job of the same action, or makes one.
--
-- Guarantee: of all submissions of one action that may be shared, one makes the job and the rest join it, until as many
-- share it as may: then the next makes another. A new job stands with its operation, its deadline and its owed offer, or
-- not at all.
--
-- KEYS[1] record of the job to be made, KEYS[2..6] indexes of the shard (fragments/job.lua),
-- KEYS[7] pointer of its operation, KEYS[8] pointer of the shared action
-- ARGV[1..3] as in fragments/job.lua, ARGV[4] how many unfinished jobs the shard takes, ARGV[5] id of the job,
-- ARGV[6] what is shared or '', ARGV[7] fixed, ARGV[8] policy, ARGV[9] requirement, ARGV[10] priority,
-- ARGV[11] milliseconds until the first look for a bot that fits, ARGV[12] action, ARGV[13] id of the operation,
-- ARGV[14] its JSON, ARGV[15] its priority, ARGV[16] replica that watches or '', ARGV[17] for how many milliseconds,
-- ARGV[18] outcome or '', ARGV[19] key of the work queue, ARGV[20] how many operations may share a job
--
-- Returns {'joined', effects, record, id of the job}, {'created', now} or {'full'}.

--- include join

local now = read_clock()
local operation = {
  id = ARGV[13],
  json = ARGV[14],
  priority = tonumber(ARGV[15]),
  replica = ARGV[16],
  milliseconds = tonumber(ARGV[17]),
}
local shared = ARGV[6]

if shared ~= '' then
  local id = redis.call('GET', KEYS[8])
  local job, about
  if id then job, about = load_job(SHARD .. 'job:' .. id) end
  if job and not is_finished(job) and job.operations < tonumber(ARGV[20]) then
    local effects = {}
    join_job(job, about, operation, now, effects)
    return { 'joined', effects, read_record(about.key), id }
  end
end

local cached = ARGV[18] ~= ''
if not cached and redis.call('ZCARD', DEADLINES) - redis.call('ZCARD', FINISHED) >= tonumber(ARGV[4]) then
  return { 'full' }
end

local record = { 'fixed', ARGV[7], 'policy', ARGV[8], 'requirement', ARGV[9], 'queue', ARGV[19] }
if shared ~= '' then
  record[#record + 1] = 'shared'
  record[#record + 1] = shared
end
record[#record + 1] = cached and 'outcome' or 'action'
record[#record + 1] = cached and ARGV[18] or ARGV[12]
record[#record + 1] = 'operation:' .. operation.id
record[#record + 1] = string.format('1 %d - ', now) .. operation.json
record[#record + 1] = 'state'
record[#record + 1] = '{}'
redis.call('HSET', KEYS[1], unpack(record))
redis.call('SET', KEYS[7], ARGV[5])
if shared ~= '' then redis.call('SET', KEYS[8], ARGV[5]) end

local job, about = load_job(KEYS[1])
about.was_state = nil
about.was_line = nil
about.was_finished = false
job.state = cached and 'completed' or 'queued'
job.version = 1
job.attempts = 0
job.priority = tonumber(ARGV[10])
job.failedAttempts = {}
job.lastOperation = 1
job.operations = 1
job.wanted = 1
job.watchers = {}
job.unwatchedSince = now
if operation.replica ~= '' then add_watch(job, operation.replica, operation.milliseconds, now) end
job.fitCheckAt = now + tonumber(ARGV[11])
job.queuedAt = now
job.offeredAt = now
if cached then
  job.finishedAt = now
else
  offer(job, about, {}, now)
end
save_job(job, about, now)
return { 'created', tostring(now) }
