-- Takes jobs that need looking at, for one caller. Outside a cluster one call may name jobs of any shard.
--
-- Guarantee: of callers at once, one gets a job; another gets it later, should nothing have come of it. Where it is time
-- to look again whether any bot fits a job that none fitted, one caller is told, and the next look is put off by the grace.
--
-- KEYS[1..6] the first job's record and the indexes of its shard (fragments/job.lua), KEYS[7..12] the next job's, and so on
-- ARGV[1..3] as in fragments/job.lua, ARGV[4] milliseconds until a job may be claimed again
--
-- Returns {ids that the caller got, looks, queues}, the latter as in fragments/look.lua.

--- include look

local now = read_clock()
local claimed = {}

local function claim(index, id)
  local at = redis.call('ZSCORE', index, id)
  if not at or tonumber(at) > now then return false end
  redis.call('ZADD', index, now + tonumber(ARGV[4]), id)
  return true
end

-- Looks at a job of which nothing else is due. Returns whether it did.
local function look(key)
  local job, about = load_job(key)
  if not job or not may_wait(job, about.policy, now) then return false end
  if job.unservedSince then
    if now < job.fitCheckAt then return false end
    job.fitCheckAt = now + about.policy.unserved_grace
    add_look(job, about, now)
  else
    -- An older replica has written it, which knew no lines.
    enter_line(about.was_line, job, about, now)
  end
  save_job(job, about, now)
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
