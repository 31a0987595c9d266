-- How several log streams stand that somebody waits for.
--
-- Guarantee: who waits for a stream counts as its reader from then on, and a stream that is waited for is not forgotten.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/log.lua
-- ARGV[3] milliseconds that the readers live from now on, 0 to leave it at what they have; ARGV[4..] keys
--
-- Returns for each size and whether it is finished, in turn; -1 and 0 where there is no such stream.

--- include log

local now, life = read_clock(), tonumber(ARGV[3])
forget_old(now)
if life > 0 then redis.call('ZREMRANGEBYSCORE', READERS, '-inf', now) end
local states = {}
for i = 4, #ARGV do
  local key = ARGV[i]
  local size, finished = state_of(key)
  if life > 0 then
    redis.call('ZADD', READERS, now + life, key)
    if size then use(key, now) end
  end
  states[#states + 1] = size or -1
  states[#states + 1] = finished or 0
end
if life > 0 then redis.call('PEXPIRE', READERS, life + SPARE_LIFE) end
return states
