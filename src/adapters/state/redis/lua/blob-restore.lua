-- Blobs that were claimed are still in the store.
--
-- Guarantee: only what is still claimed becomes stored again, with the time of its last use.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/blobs.lua
-- ARGV[3...] for each blob the time of its last use, in milliseconds since the epoch
--
-- Returns how many were put back, then the totals.

--- include blobs

local blobs, bytes = 0, 0
for i, member in ipairs(read_members()) do
  if redis.call('ZREM', CLAIMED, member) == 1 then
    redis.call('ZADD', STORED, ARGV[2 + i], member)
    blobs = blobs + 1
    bytes = bytes + size_of(member)
  end
end
count('evicting', -blobs, -bytes)
return with_totals(blobs)
