-- What followed the changes that made these versions was carried out.
--
-- Guarantee: what a younger change owes stays owed.
--
-- KEYS[1], KEYS[2] a job's record and its shard's unsettled jobs, KEYS[3], KEYS[4] the next job's, and so on; of one
-- shard in a cluster
-- ARGV[1], ARGV[2] version and id of the first job, ARGV[3], ARGV[4] of the next, and so on
--
-- Returns of how many jobs nothing is owed any more.

local settled = 0
for i = 1, #KEYS, 2 do
  local owed = redis.call('HGET', KEYS[i], 'owed')
  if not owed or tonumber(string.match(owed, '^%d+')) <= tonumber(ARGV[i]) then
    if owed then redis.call('HDEL', KEYS[i], 'owed') end
    redis.call('ZREM', KEYS[i + 1], ARGV[i + 1])
    settled = settled + 1
  end
end
return settled
