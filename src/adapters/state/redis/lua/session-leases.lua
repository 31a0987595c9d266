-- Adds and removes leases of a session.
--
-- Guarantee: leases are added all or none, only for the call that speaks for the bot, and never beyond its capacity.
--
-- KEYS[1] the session's record
-- ARGV[1] the call, ARGV[2] how many are added, ARGV[3...] their ids, then those of the leases that are removed
--
-- The record's `changedBy` is the last call that spoke for the bot and changed something: it holds no bot any more.
--
-- Returns 1, or 0 where what was to be added was not.

local fields = redis.call('HMGET', KEYS[1], 'leases', 'pollId', 'capacity')
if not fields[1] then return 0 end
local added = tonumber(ARGV[2])
local removed = {}
for i = 3 + added, #ARGV do removed[ARGV[i]] = true end
local leases, held = {}, {}
for _, id in ipairs(cjson.decode(fields[1])) do
  if not removed[id] then
    leases[#leases + 1] = id
    held[id] = true
  end
end
local kept = #leases
for i = 3, 2 + added do
  if not held[ARGV[i]] then leases[#leases + 1] = ARGV[i] end
end
local room = fields[2] == ARGV[1] and #leases <= tonumber(fields[3])
while not room and #leases > kept do leases[#leases] = nil end
if #leases > kept or next(removed) then
  redis.call('HSET', KEYS[1], 'leases', #leases == 0 and '[]' or cjson.encode(leases), 'changedBy', ARGV[1])
  redis.call('HINCRBY', KEYS[1], 'version', 1)
end
return (added == 0 or room) and 1 or 0
