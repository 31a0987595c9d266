-- What scripts on assets have alike.
--
-- KEYS[1] the asset: a hash of its bytes and, where it has one, of the time from which on it is no longer given
-- KEYS[2] the keys of the shard's assets, by last use
-- ARGV[1] as in fragments/clock.lua, ARGV[2] milliseconds for which an asset is kept that nobody asks for

--- include clock

local ASSET = KEYS[1]
local USED = KEYS[2]
local RETENTION = tonumber(ARGV[2])

-- The asset was used: both keys live on, the asset no longer than it is given.
local function keep_asset(now, expires_at)
  local until_unused = now + RETENTION
  if expires_at and expires_at < until_unused then until_unused = expires_at end
  -- Not by a point in time: a test's clock is not that of Redis.
  redis.call('PEXPIRE', ASSET, math.max(1, math.ceil(until_unused - now)))
  redis.call('ZADD', USED, now, ASSET)
  redis.call('PEXPIRE', USED, RETENTION)
end
