-- Stores or replaces an asset.
--
-- Guarantee: there are never more assets in a shard than the bound; the least recently used go first. Each key expires.
--
-- KEYS[1..2], ARGV[1..2] as in fragments/asset.lua
-- ARGV[3] the asset, ARGV[4] from when on it is no longer given, or '', ARGV[5] how many there may be in the shard
--
-- Returns 1.

--- include asset

local now = read_clock()
local expires_at = tonumber(ARGV[4])
redis.call('DEL', ASSET)
redis.call('HSET', ASSET, 'asset', ARGV[3])
if expires_at then redis.call('HSET', ASSET, 'expiresAt', ARGV[4]) end
keep_asset(now, expires_at)
-- Those that expired unasked for are named there still.
redis.call('ZREMRANGEBYSCORE', USED, '-inf', now - RETENTION)
local surplus = redis.call('ZCARD', USED) - tonumber(ARGV[5])
if surplus > 0 then
  local popped = redis.call('ZPOPMIN', USED, surplus)
  for i = 1, #popped, 2 do redis.call('DEL', popped[i]) end
end
return 1
