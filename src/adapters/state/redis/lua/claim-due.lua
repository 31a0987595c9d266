-- Takes jobs that need looking at, for one caller. Outside a cluster one call may name jobs of any shard.
--
-- Guarantee: of callers at once, one gets a job; another gets it later, should nothing have come of it. Where it is time
-- to look whether any bot fits a job that waits, one caller is told, and the next look is put off by the grace.
--
-- KEYS[1..6] the first job's record and the indexes of its shard (fragments/job.lua), KEYS[7..12] the next job's, and so on
-- ARGV[1..3] as in fragments/job.lua, ARGV[4] milliseconds until a job may be claimed again
--
-- Returns {ids that the caller got, looks, queues}. A look is eight values: id, attempts, priority, when it was offered,
-- for how long, 1 where no bot fitted before, the grace, and which of the queues, from 0. A queue is two values: what
-- never changes of one of its jobs, as JSON, and the requirement's key.

--- include job

local now = read_clock()
local claimed, looks, queues, known = {}, {}, {}, {}

local function claim(index, id)
  local at = redis.call('ZSCORE', index, id)
  if not at or tonumber(at) > now then return false end
  redis.call('ZADD', index, now + tonumber(ARGV[4]), id)
  return true
end

local function number_of_queue(about)
  -- The record of an older replica names none.
  local queue = redis.call('HGET', about.key, 'queue') or about.id
  local number = known[queue]
  if not number then
    local named = redis.call('HMGET', about.key, 'fixed', 'requirement')
    number = #queues / 2
    queues[#queues + 1] = named[1]
    queues[#queues + 1] = named[2]
    known[queue] = number
  end
  return number
end

-- Looks at a job of which nothing else is due. Returns whether it did.
local function look(key)
  local job, about = load_job(key)
  if not job or job.state ~= 'queued' then return false end
  local policy = about.policy
  if now < job.fitCheckAt or now >= abandoned_at(job, policy) then return false end
  if policy.queue_timeout and now >= job.queuedAt + policy.queue_timeout then return false end
  job.fitCheckAt = now + policy.unserved_grace
  save_job(job, about, now)
  for _, value in ipairs({
    about.id,
    job.attempts,
    tostring(job.priority),
    tostring(job.offeredAt),
    tostring(now - job.offeredAt),
    job.unservedSince and 1 or 0,
    tostring(policy.unserved_grace),
    number_of_queue(about),
  }) do
    looks[#looks + 1] = value
  end
  return true
end

for i = 1, #KEYS, 6 do
  use_shard(i)
  local id = string.sub(KEYS[i], #SHARD + #'job:' + 1)
  local due = claim(UNSETTLED, id)
  local at = redis.call('ZSCORE', DEADLINES, id)
  if at and tonumber(at) <= now and not look(KEYS[i]) then due = claim(DEADLINES, id) or due end
  if due then claimed[#claimed + 1] = id end
end
return { claimed, looks, queues }
