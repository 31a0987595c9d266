-- A few jobs of a shard, for people.
--
-- Guarantee: changes nothing; reads no more than asked for.
--
-- KEYS[1] the shard's queued jobs, KEYS[2] its finished jobs, oldest first
-- ARGV[1] how many of each
--
-- Returns {ids of some that wait, in no order; ids of those that ended last, the youngest first}.

local count = tonumber(ARGV[1])
return { redis.call('SRANDMEMBER', KEYS[1], count), redis.call('ZREVRANGE', KEYS[2], 0, count - 1) }
