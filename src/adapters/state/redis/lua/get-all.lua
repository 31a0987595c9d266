-- Records, such as jobs.
--
-- Guarantee: changes nothing; the records are of one moment. Outside a cluster one call may name records of any shard.
--
-- KEYS[1...] the records
--
-- Returns each, packed as in fragments/record.lua.

--- include record

local records = {}
for i, key in ipairs(KEYS) do records[i] = read_record(key) end
return records
