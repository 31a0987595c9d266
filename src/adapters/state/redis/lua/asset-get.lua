-- Reads an asset.
--
-- Guarantee: one whose time has passed is not given, and one that is given lives on.
--
-- KEYS[1..2], ARGV[1..2] as in fragments/asset.lua
--
-- Returns the asset, or nil.

--- include asset

local fields = redis.call('HMGET', ASSET, 'asset', 'expiresAt')
if not fields[1] then return nil end
local now = read_clock()
local expires_at = tonumber(fields[2] or nil)
if expires_at and expires_at <= now then return nil end
keep_asset(now, expires_at)
return fields[1]
