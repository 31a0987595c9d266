-- The call that speaks for a bot is still held.
--
-- Guarantee: only that call renews the session's life, and nothing else changes.
--
-- KEYS[1..7], ARGV[1..3] as in fragments/session.lua
-- ARGV[4] the call, ARGV[5] milliseconds to live
--
-- Returns when the session now ends, as text, or nil where it has ended or another call speaks for the bot.

--- include session

local fields = redis.call('HMGET', SESSION, 'pollId', 'botId')
if not fields[1] or fields[1] ~= ARGV[4] then return nil end
local now = read_clock()
local lifetime = tonumber(ARGV[5])
local expires_at = tostring(now + lifetime)
redis.call('HSET', SESSION, 'expiresAt', expires_at)
set_deadline(ARGV[2], fields[2], now, lifetime)
return expires_at
