-- Blobs are not there any more: written in vain, missing in the store, or evicted.
--
-- Guarantee: only what is in the named state is taken out, and it stops counting with that.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/blobs.lua
-- ARGV[3] 'reserved', 'stored' or 'claimed'
--
-- Returns how many were taken out, then the totals.

--- include blobs

local from = ({ reserved = RESERVED, stored = STORED, claimed = CLAIMED })[ARGV[3]]
local blobs, bytes = 0, 0
for _, member in ipairs(read_members()) do
  if redis.call('ZREM', from, member) == 1 then
    blobs = blobs + 1
    bytes = bytes + size_of(member)
  end
end
count('all', -blobs, -bytes)
if ARGV[3] == 'claimed' then count('evicting', -blobs, -bytes) end
return with_totals(blobs)
