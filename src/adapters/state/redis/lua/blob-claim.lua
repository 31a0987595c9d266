-- Blobs are to be removed from the store.
--
-- Guarantee: of callers at once one gets a blob, and none gets what was used or kept meanwhile.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/blobs.lua
-- ARGV[3] milliseconds of a lease, ARGV[4] milliseconds for which it must not have been used, or '' for whatever is stored
-- or reserved
--
-- Returns the places, from 0, of those that the caller got, then the totals.

--- include blobs

local now = read_clock()
local latest = ARGV[4] ~= '' and now - tonumber(ARGV[4])
local claimed, bytes = {}, 0
for i, member in ipairs(read_members()) do
  local used = redis.call('ZSCORE', STORED, member)
  local taken
  if latest then
    taken = used and tonumber(used) <= latest and redis.call('ZREM', STORED, member) == 1
  else
    taken = redis.call('ZREM', used and STORED or RESERVED, member) == 1
  end
  if taken then
    redis.call('ZADD', CLAIMED, now + tonumber(ARGV[3]), member)
    claimed[#claimed + 1] = i - 1
    bytes = bytes + size_of(member)
  end
end
count('evicting', #claimed, bytes)
return with_totals(claimed)
