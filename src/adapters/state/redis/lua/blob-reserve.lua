-- Blobs are about to be written.
--
-- Guarantee: what is reserved counts, and nobody removes it from the store before its lease is over.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/blobs.lua
-- ARGV[3] milliseconds within which a use is not noted anew, ARGV[4] milliseconds of a lease
--
-- Returns for each blob 0: stored, 1: reserved, 2: being evicted; then the totals.

--- include blobs

local now = read_clock()
local answer, blobs, bytes = {}, 0, 0
for i, member in ipairs(read_members()) do
  local used = redis.call('ZSCORE', STORED, member)
  if used then
    if tonumber(used) <= now - tonumber(ARGV[3]) then redis.call('ZADD', STORED, now, member) end
    answer[i] = 0
  elseif redis.call('ZSCORE', CLAIMED, member) then
    answer[i] = 2
  else
    if redis.call('ZADD', RESERVED, now + tonumber(ARGV[4]), member) == 1 then
      blobs = blobs + 1
      bytes = bytes + size_of(member)
    end
    answer[i] = 1
  end
end
count('all', blobs, bytes)
return with_totals(answer)
