-- Pauses a work queue, known or not, or lets it go on.
--
-- Guarantee: a paused queue is known, and stays known.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/queue.lua
-- ARGV[3] key of the queue, ARGV[4] the queue as JSON, ARGV[5] 1 to pause
--
-- Returns 1.

--- include queue

if ARGV[5] == '1' then
  if redis.call('HSETNX', QUEUES, ARGV[3], ARGV[4]) == 1 then redis.call('ZADD', USED, read_clock(), ARGV[3]) end
  redis.call('SADD', PAUSED, ARGV[3])
else
  redis.call('SREM', PAUSED, ARGV[3])
end
keep_alive()
return 1
