-- Removes an asset.
--
-- Guarantee: it is gone, and its shard does not name it any more.
--
-- KEYS[1..2], ARGV[1..2] as in fragments/asset.lua
--
-- Returns how many there were: 0 or 1.

--- include asset

redis.call('ZREM', USED, ASSET)
return redis.call('DEL', ASSET)
