-- A bot has called.
--
-- Guarantee: what it reports, its new deadline and the call that now speaks for it stand together.
--
-- KEYS[1..7], ARGV[1..3] as in fragments/session.lua
-- ARGV[4] bot id, ARGV[5] milliseconds to live, ARGV[6] requirement key of what it offers, ARGV[7] the properties as
-- JSON, ARGV[8...] the record's other fields and values in turn
--
-- Returns {'session', record, the call that spoke for the bot until now, the replica that had it}, the last two left
-- out where that call has changed leases, {'ended', how}, {'other-bot'} or {'unknown'}.

--- include session

local name = ARGV[2]
local bot_id = redis.call('HGET', SESSION, 'botId')
if not bot_id then
  local ending = redis.call('HGET', ENDS, name)
  if ending then return { 'ended', ending } end
  return { 'unknown' }
end
if bot_id ~= ARGV[4] then return { 'other-bot' } end
local before = redis.call('HMGET', SESSION, 'pollId', 'replicaId', 'changedBy')
local now = read_clock()
local lifetime = tonumber(ARGV[5])
local record = { 'properties', ARGV[7], 'lastSeenAt', tostring(now), 'expiresAt', tostring(now + lifetime) }
for i = 8, #ARGV do record[#record + 1] = ARGV[i] end
redis.call('HSET', SESSION, unpack(record))
redis.call('HINCRBY', SESSION, 'version', 1)
set_offer(name, ARGV[6], ARGV[7])
set_deadline(name, bot_id, now, lifetime)
local answer = { 'session', read_record(SESSION) }
if before[3] ~= before[1] then
  answer[3] = before[1]
  answer[4] = before[2]
end
return answer
