-- A bot comes, or comes anew.
--
-- Guarantee: a bot id has one session in an instance; the one before ends in the same step.
--
-- KEYS[1..7], ARGV[1..3] as in fragments/session.lua
-- ARGV[4] bot id, ARGV[5] milliseconds to live, ARGV[6] how many sessions the instance takes, ARGV[7] requirement key of
-- what it offers, ARGV[8] the properties as JSON, ARGV[9...] the record's other fields and values in turn
--
-- Returns {'created', now, name of the session that was replaced, its record} or {'full', now, name, record}, the last
-- two false where none was replaced.

--- include session

local now = read_clock()
local name, bot_id = ARGV[2], ARGV[4]
local earlier = redis.call('GET', bot_pointer(bot_id))
local replaced = earlier and end_session(earlier, 'replaced', now) or false
if redis.call('ZCARD', DEADLINES) >= tonumber(ARGV[6]) then return { 'full', tostring(now), earlier, replaced } end
local lifetime = tonumber(ARGV[5])
local record = { 'botId', bot_id, 'properties', ARGV[8], 'leases', '[]', 'version', 1 }
for _, at in ipairs({ 'createdAt', 'lastSeenAt' }) do
  record[#record + 1] = at
  record[#record + 1] = tostring(now)
end
record[#record + 1] = 'expiresAt'
record[#record + 1] = tostring(now + lifetime)
for i = 9, #ARGV do record[#record + 1] = ARGV[i] end
redis.call('HSET', SESSION, unpack(record))
redis.call('SET', bot_pointer(bot_id), name)
set_offer(name, ARGV[7], ARGV[8])
set_deadline(name, bot_id, now, lifetime)
return { 'created', tostring(now), earlier, replaced }
