-- How many jobs of a shard there are.
--
-- Guarantee: changes nothing; the counts are of one moment.
--
-- KEYS[1] the shard's deadlines, KEYS[2] its queued jobs, KEYS[3] its finished jobs
--
-- Returns {all, queued, finished}.

return { redis.call('ZCARD', KEYS[1]), redis.call('SCARD', KEYS[2]), redis.call('ZCARD', KEYS[3]) }
