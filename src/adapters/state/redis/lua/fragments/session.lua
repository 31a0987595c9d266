--- include clock
--- include record
-- What every script on bot sessions shares. All bots of one instance lie in one slot.
--
-- KEYS[1] the session's record, KEYS[2] the sessions' deadlines, KEYS[3] what is offered: requirement key to properties,
-- KEYS[4] how many sessions offer each, KEYS[5] which each session offers, KEYS[6] how sessions ended, KEYS[7] when
-- ARGV[1] a test's time or '', ARGV[2] name of the session, ARGV[3] how many ends are remembered
--
-- A record is a hash of the fields of a session; `leases` is a JSON list. A pointer leads from a bot's id to its session.

-- How long an end is remembered.
local REMEMBER = 3600000
-- Sweeps end sessions long before their records expire; this is for a farm that is gone.
local SPARE_LIFE = 86400000

local SESSION, DEADLINES, OFFERS, BIDDERS, OFFERED, ENDS, ENDED =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local INSTANCE = string.sub(DEADLINES, 1, -1 - #'deadlines')

local function bot_pointer(bot_id)
  return INSTANCE .. 'bot:' .. bot_id
end

-- Notes what a session offers; nothing where `offer` is nil.
local function set_offer(name, offer, properties)
  local before = redis.call('HGET', OFFERED, name)
  if before == offer then return end
  if before then
    redis.call('HDEL', OFFERED, name)
    if redis.call('HINCRBY', BIDDERS, before, -1) <= 0 then
      redis.call('HDEL', BIDDERS, before)
      redis.call('HDEL', OFFERS, before)
    end
  end
  if offer then
    redis.call('HSET', OFFERED, name, offer)
    redis.call('HSET', OFFERS, offer, properties)
    redis.call('HINCRBY', BIDDERS, offer, 1)
  end
end

-- The session lives until then, unless it is heard of again.
local function set_deadline(name, bot_id, now, lifetime)
  redis.call('ZADD', DEADLINES, now + lifetime, name)
  local life = math.floor(lifetime + SPARE_LIFE)
  redis.call('PEXPIRE', SESSION, life)
  redis.call('PEXPIRE', bot_pointer(bot_id), life)
  if redis.call('PTTL', DEADLINES) < life or redis.call('PTTL', OFFERS) < life then
    for i = 2, 5 do redis.call('PEXPIRE', KEYS[i], life + SPARE_LIFE) end
  end
end

local function forget_end(name)
  redis.call('HDEL', ENDS, name)
  redis.call('ZREM', ENDED, name)
end

local function remember_end(name, ending, now)
  redis.call('HSET', ENDS, name, ending)
  redis.call('ZADD', ENDED, now, name)
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', ENDED, '-inf', now - REMEMBER, 'LIMIT', 0, 100)) do forget_end(old) end
  local surplus = redis.call('ZCARD', ENDED) - tonumber(ARGV[3])
  if surplus > 0 then
    for _, old in ipairs(redis.call('ZRANGE', ENDED, 0, surplus - 1)) do forget_end(old) end
  end
  redis.call('PEXPIRE', ENDS, REMEMBER)
  redis.call('PEXPIRE', ENDED, REMEMBER)
end

-- Ends a session. Returns its record as it was, or nil where there is none.
local function end_session(name, ending, now)
  local key = INSTANCE .. 'session:' .. name
  local record = read_record(key)
  redis.call('ZREM', DEADLINES, name)
  set_offer(name, nil)
  if not record then return nil end
  local pointer = bot_pointer(redis.call('HGET', key, 'botId'))
  if redis.call('GET', pointer) == name then redis.call('DEL', pointer) end
  redis.call('DEL', key)
  remember_end(name, ending, now)
  return record
end
