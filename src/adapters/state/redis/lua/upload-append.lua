-- Bytes of an upload have arrived.
--
-- Guarantee: what is kept is one run of bytes from the first on. Bytes that are kept already are passed over, and bytes
-- that would leave a gap or go beyond the bound are not kept.
--
-- KEYS[1..2], ARGV[1] as in fragments/upload.lua
-- ARGV[2] milliseconds for which it is kept, ARGV[3] offset of the bytes, ARGV[4] the bytes, ARGV[5] the most that is kept
--
-- Returns how much is kept now.

--- include upload

local SPARE_LIFE = 60000
local size, offset = kept_size(), tonumber(ARGV[3])
local arrived = offset + #ARGV[4]
if offset <= size and arrived > size and arrived <= tonumber(ARGV[5]) then
  redis.call('RPUSH', PIECES, string.sub(ARGV[4], size - offset + 1))
  size = arrived
end
if size > 0 then
  redis.call('HSET', META, 'size', size, 'until', read_clock() + tonumber(ARGV[2]))
  for _, key in ipairs({ META, PIECES }) do
    redis.call('PEXPIRE', key, math.floor(tonumber(ARGV[2]) + SPARE_LIFE))
  end
end
return size
