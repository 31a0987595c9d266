-- What dead replicas have reserved or claimed is taken over.
--
-- Guarantee: of callers at once one gets a blob, and it is claimed from then on.
--
-- KEYS[1..4], ARGV[1] as in fragments/blobs.lua
-- ARGV[2] is not used, ARGV[3] milliseconds of a lease, ARGV[4] how many at most
--
-- Returns the blobs, then the totals.

--- include blobs

local now = read_clock()
local taken, blobs, bytes = {}, 0, 0
for _, from in ipairs({ CLAIMED, RESERVED }) do
  local left = tonumber(ARGV[4]) - #taken
  if left > 0 then
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', from, '-inf', now, 'LIMIT', 0, left)) do
      if from == RESERVED then
        redis.call('ZREM', RESERVED, member)
        blobs = blobs + 1
        bytes = bytes + size_of(member)
      end
      redis.call('ZADD', CLAIMED, now + tonumber(ARGV[3]), member)
      taken[#taken + 1] = member
    end
  end
end
count('evicting', blobs, bytes)
return with_totals(taken)
