--- include clock
-- What every script on work queues shares.
--
-- KEYS[1] the queues by their keys, KEYS[2] when each was used last, KEYS[3] those that are paused,
-- KEYS[4] what was handed out of each, JSON of the youngest time of offer by level of priority
-- ARGV[1] a test's time or '', ARGV[2] milliseconds after which an unused queue is forgotten

local QUEUES, USED, PAUSED, HANDED_OUT = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local SPARE_LIFE = 86400000

local function forget_idle(now)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', USED, '-inf', now - tonumber(ARGV[2]))) do
    if redis.call('SISMEMBER', PAUSED, key) == 0 then
      redis.call('HDEL', QUEUES, key)
      redis.call('ZREM', USED, key)
      redis.call('HDEL', HANDED_OUT, key)
    end
  end
end

-- An operator's pause stays for good, the rest only as long as somebody uses it.
local function keep_alive()
  local paused = redis.call('SCARD', PAUSED) > 0
  for _, key in ipairs({ QUEUES, USED, HANDED_OUT }) do
    if paused then
      redis.call('PERSIST', key)
    else
      redis.call('PEXPIRE', key, math.floor(tonumber(ARGV[2]) + SPARE_LIFE))
    end
  end
end
