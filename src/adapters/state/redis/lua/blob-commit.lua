-- Blobs that were reserved are in the store.
--
-- Guarantee: only what was reserved all the time becomes stored.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/blobs.lua
-- ARGV[3...] for each blob milliseconds since its last use
--
-- Returns the places, from 0, of those that are not stored: their reservations were lost.

--- include blobs

local now = read_clock()
local lost = {}
for i, member in ipairs(read_members()) do
  if redis.call('ZREM', RESERVED, member) == 1 then
    redis.call('ZADD', STORED, now - tonumber(ARGV[2 + i]), member)
  elseif not redis.call('ZSCORE', STORED, member) then
    lost[#lost + 1] = i - 1
  end
end
return lost
