-- What waits in a shard, by queue.
--
-- Guarantee: changes nothing; the counts are of one moment.
--
-- KEYS[1] the shard's queued jobs
-- ARGV[1] begins the name of each job's record
--
-- Returns for each queue what never changes of one of its jobs, as JSON, the requirement's key, how many jobs wait, and
-- when the oldest of them was made, in turn.

local found = {}
local listed = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local fields = redis.call('HMGET', ARGV[1] .. id, 'fixed', 'requirement', 'state', 'queue')
  if fields[1] then
    local queued_at = cjson.decode(fields[3]).queuedAt
    -- The record of an older replica names none; the caller adds up.
    local queue = fields[4] or id
    local known = found[queue]
    if not known then
      known = { fixed = fields[1], requirement = fields[2], jobs = 0, oldest = queued_at }
      found[queue] = known
      listed[#listed + 1] = known
    end
    known.jobs = known.jobs + 1
    known.oldest = math.min(known.oldest, queued_at)
  end
end
local flat = {}
for _, each in ipairs(listed) do
  flat[#flat + 1] = each.fixed
  flat[#flat + 1] = each.requirement
  flat[#flat + 1] = each.jobs
  flat[#flat + 1] = tostring(each.oldest)
end
return flat
