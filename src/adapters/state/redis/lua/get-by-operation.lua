-- The job of an operation.
--
-- Guarantee: changes nothing; the record is of one moment.
--
-- KEYS[1] pointer of the operation
-- ARGV[1] what the names of the shard's records begin with
--
-- Returns {id of the job, record}, or nil.

--- include record

local id = redis.call('GET', KEYS[1])
if not id then return nil end
return { id, read_record(ARGV[1] .. id) }
