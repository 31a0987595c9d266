-- So much of an upload is kept now, or nothing any more.
--
-- Guarantee: what counts stays below both bounds; the caller removes what it is told.
--
-- KEYS[1] uploads by when they grew last, KEYS[2] their sizes, KEYS[3] the sum of these
-- ARGV[1] a test's time or '', ARGV[2] milliseconds for which an upload is kept, ARGV[3] the upload, ARGV[4] its size,
-- ARGV[5] the greatest sum, ARGV[6] the greatest number
--
-- Returns the uploads that do not count any more, the oldest first.

--- include clock

local GREW, SIZES, SUM = KEYS[1], KEYS[2], KEYS[3]
local SPARE_LIFE = 60000
local now, life = read_clock(), tonumber(ARGV[2])

local function forget(upload)
  redis.call('DECRBY', SUM, redis.call('HGET', SIZES, upload) or 0)
  redis.call('HDEL', SIZES, upload)
  redis.call('ZREM', GREW, upload)
end

for _, upload in ipairs(redis.call('ZRANGEBYSCORE', GREW, '-inf', now - life)) do forget(upload) end
if redis.call('HEXISTS', SIZES, ARGV[3]) == 1 then forget(ARGV[3]) end
if tonumber(ARGV[4]) > 0 then
  -- Those of one millisecond keep their order as well.
  local last = redis.call('ZRANGE', GREW, -1, -1, 'WITHSCORES')[2]
  redis.call('ZADD', GREW, last and math.max(now, tonumber(last) + 0.001) or now, ARGV[3])
  redis.call('HSET', SIZES, ARGV[3], ARGV[4])
  redis.call('INCRBY', SUM, ARGV[4])
end
local dropped = {}
while tonumber(redis.call('GET', SUM) or 0) > tonumber(ARGV[5]) or redis.call('ZCARD', GREW) > tonumber(ARGV[6]) do
  local oldest = redis.call('ZRANGE', GREW, 0, 0)[1]
  if not oldest then
    redis.call('SET', SUM, 0)
    break
  end
  dropped[#dropped + 1] = oldest
  forget(oldest)
end
for _, key in ipairs({ GREW, SIZES, SUM }) do redis.call('PEXPIRE', key, math.floor(life + SPARE_LIFE)) end
return dropped
