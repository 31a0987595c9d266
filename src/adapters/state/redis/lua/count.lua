-- How many jobs of some shards there are.
--
-- Guarantee: changes nothing; the counts of one call are of one moment. Outside a cluster one call may name all shards.
--
-- KEYS[1..3] a shard's deadlines, its queued jobs, its finished jobs, KEYS[4..6] the next shard's, and so on
--
-- Returns {all, queued, finished}.

local all, queued, finished = 0, 0, 0
for i = 1, #KEYS, 3 do
  all = all + redis.call('ZCARD', KEYS[i])
  queued = queued + redis.call('SCARD', KEYS[i + 1])
  finished = finished + redis.call('ZCARD', KEYS[i + 2])
end
return { all, queued, finished }
