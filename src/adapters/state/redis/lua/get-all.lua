-- Records, such as jobs.
--
-- Guarantee: changes nothing; the records are of one moment. Outside a cluster one call may name records of any shard.
--
-- KEYS[1...] the records
--
-- Returns for each its fields and values in turn, none where there is no record.

local records = {}
for i, key in ipairs(KEYS) do records[i] = redis.call('HGETALL', key) end
return records
