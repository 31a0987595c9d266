-- What was used least recently, in pages.
--
-- Guarantee: nothing that was used within the given time, or is kept, is among it.
--
-- KEYS[1..4], ARGV[1] as in fragments/blobs.lua
-- ARGV[2] is not used, ARGV[3] milliseconds for which it must not have been used, ARGV[4] how many to pass over, ARGV[5] how
-- many at most
--
-- Returns blobs and times of last use in turn.

--- include blobs

local latest = read_clock() - tonumber(ARGV[3])
return redis.call('ZRANGEBYSCORE', STORED, '-inf', latest, 'WITHSCORES', 'LIMIT', ARGV[4], ARGV[5])
