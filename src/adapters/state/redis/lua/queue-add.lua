-- A work queue is in use.
--
-- Guarantee: there are never more queues than the bound, and of callers at once one hears that a queue is new.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/queue.lua
-- ARGV[3] key of the queue, ARGV[4] the queue as JSON, ARGV[5] how many queues there may be
--
-- Returns 'new', 'known' or 'full'.

--- include queue

local now = read_clock()
local known = redis.call('HEXISTS', QUEUES, ARGV[3]) == 1
if not known then
  forget_idle(now)
  if redis.call('HLEN', QUEUES) >= tonumber(ARGV[5]) then return 'full' end
  redis.call('HSET', QUEUES, ARGV[3], ARGV[4])
end
redis.call('ZADD', USED, now, ARGV[3])
keep_alive()
return known and 'known' or 'new'
