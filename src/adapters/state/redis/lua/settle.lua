-- What followed the change that made this version was carried out.
--
-- Guarantee: what a younger change owes stays owed.
--
-- KEYS[1] the job's record, KEYS[2] the shard's unsettled jobs
-- ARGV[1] version, ARGV[2] id of the job
--
-- Returns 1 where nothing is owed any more, else 0.

local owed = redis.call('HGET', KEYS[1], 'owed')
if owed and tonumber(string.match(owed, '^%d+')) > tonumber(ARGV[1]) then return 0 end
redis.call('HDEL', KEYS[1], 'owed')
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
