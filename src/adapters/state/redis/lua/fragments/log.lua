--- include clock
-- What every script on log streams shares. All streams of one part lie in one slot.
--
-- KEYS[1] the streams: key to twice the size, plus one where it is finished; KEYS[2] when each was used last; KEYS[3]
-- until when each has a reader; KEYS[4] how many bytes all have
-- ARGV[1] a test's time or '', ARGV[2] milliseconds after which an unused stream is forgotten
--
-- The bytes of a stream are a string of their own, so that one append moves no other bytes.

local STREAMS, USED, READERS, BYTES = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local RETENTION = tonumber(ARGV[2])
-- Scripts forget streams; this is for a farm that is gone.
local SPARE_LIFE = 3600000
local MOST_FORGOTTEN = 100

local function data_key(key)
  return string.sub(STREAMS, 1, -1 - #'streams') .. 'data:' .. key
end

-- The size, and 1 where it is finished; nothing where there is no such stream.
local function state_of(key)
  local state = tonumber(redis.call('HGET', STREAMS, key) or '')
  if not state then return nil end
  return math.floor(state / 2), state % 2
end

local function set_state(key, size, finished)
  redis.call('HSET', STREAMS, key, size * 2 + finished)
end

local function use(key, now)
  redis.call('ZADD', USED, now, key)
  local life = math.floor(RETENTION + SPARE_LIFE)
  redis.call('PEXPIRE', data_key(key), life)
  for i = 1, 4 do redis.call('PEXPIRE', KEYS[i], life) end
end

local function forget(key)
  local size = state_of(key)
  if size then redis.call('DECRBY', BYTES, size) end
  redis.call('HDEL', STREAMS, key)
  redis.call('ZREM', USED, key)
  redis.call('UNLINK', data_key(key))
end

local function forget_old(now)
  local old = redis.call('ZRANGEBYSCORE', USED, '-inf', now - RETENTION, 'LIMIT', 0, MOST_FORGOTTEN)
  for _, key in ipairs(old) do forget(key) end
end

-- Whether there is room for so many more bytes in this stream, after finished ones have made way.
local function make_room(key, bytes, most_bytes, most_streams)
  local known = redis.call('HEXISTS', STREAMS, key) == 1
  local function lacks()
    return tonumber(redis.call('GET', BYTES) or 0) + bytes > most_bytes
      or (not known and redis.call('ZCARD', USED) >= most_streams)
  end
  if not lacks() then return true end
  for _, other in ipairs(redis.call('ZRANGE', USED, 0, MOST_FORGOTTEN - 1)) do
    local size, finished = state_of(other)
    if other ~= key and (not size or finished == 1) then forget(other) end
    if not lacks() then return true end
  end
  return false
end
