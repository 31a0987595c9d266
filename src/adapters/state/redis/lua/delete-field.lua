-- Deletes a field of a hash.
--
-- Guarantee: of callers at once, one hears that it was there.
--
-- KEYS[1] the hash
-- ARGV[1] field
--
-- Returns 1 where there was one, else 0.

return redis.call('HDEL', KEYS[1], ARGV[1])
