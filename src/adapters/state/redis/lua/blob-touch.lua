-- Blobs are used, or are kept for a time.
--
-- Guarantee: what is not named in the answer was stored at this moment, and nobody who asks for what was not used for a
-- while claims it before that while is over.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/blobs.lua
-- ARGV[3] milliseconds within which a use is not noted anew, ARGV[4] milliseconds from now that count as the time of use
--
-- Returns the places, from 0, of those that are not stored.

--- include blobs

local at = read_clock() + tonumber(ARGV[4])
local due = at - tonumber(ARGV[3])
local missing = {}
for i, member in ipairs(read_members()) do
  local used = redis.call('ZSCORE', STORED, member)
  if not used then
    missing[#missing + 1] = i - 1
  elseif tonumber(used) <= due then
    redis.call('ZADD', STORED, at, member)
  end
end
return missing
