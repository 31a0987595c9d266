-- Sets a field of a hash.
--
-- Guarantee: field and expiry stand together.
--
-- KEYS[1] the hash
-- ARGV[1] field, ARGV[2] value, ARGV[3] milliseconds until the hash expires, or '' where it is to stay
--
-- Returns 1 where the field is new, else 0.

local new = redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return new
