-- The log streams that have a reader.
--
-- Guarantee: of one moment.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/log.lua
--
-- Returns their keys.

--- include log

return redis.call('ZRANGEBYSCORE', READERS, '(' .. read_clock(), '+inf')
