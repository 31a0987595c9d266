--- include clock
-- What every script on one shard of an index of blobs shares.
--
-- KEYS[1] stored blobs by when each was used last, in the future where it is kept; KEYS[2] reserved and KEYS[3] claimed
-- blobs by the end of their lease; KEYS[4] what is counted: hash of 'blobs', 'bytes', 'evictingBlobs', 'evictingBytes'
-- ARGV[1] a test's time or '', ARGV[2] blobs, a byte of length before each: function, size in sevens of bits, hash

local STORED, RESERVED, CLAIMED, TOTALS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local function read_members()
  local members, packed, at = {}, ARGV[2], 1
  while at <= #packed do
    local length = string.byte(packed, at)
    members[#members + 1] = string.sub(packed, at + 1, at + length)
    at = at + 1 + length
  end
  return members
end

local function size_of(member)
  local size, factor, at = 0, 1, 2
  while true do
    local byte = string.byte(member, at)
    if byte < 128 then return size + byte * factor end
    size = size + (byte - 128) * factor
    factor = factor * 128
    at = at + 1
  end
end

local function count(what, blobs, bytes)
  if blobs == 0 then return end
  local names = what == 'evicting' and { 'evictingBlobs', 'evictingBytes' } or { 'blobs', 'bytes' }
  redis.call('HINCRBY', TOTALS, names[1], string.format('%.0f', blobs))
  redis.call('HINCRBY', TOTALS, names[2], string.format('%.0f', bytes))
end

-- With what every script that counts ends: so that each replica hears how much there is.
local function with_totals(answer)
  return { answer, redis.call('HMGET', TOTALS, 'blobs', 'bytes', 'evictingBlobs', 'evictingBytes') }
end
