-- Every work queue.
--
-- Guarantee: of one moment; queues that nobody uses are forgotten before.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/queue.lua
--
-- Returns for each the queue as JSON, whether it is paused, 1 or 0, and JSON of what was handed out, in turn.

--- include queue

forget_idle(read_clock())
local listed = {}
local queues = redis.call('HGETALL', QUEUES)
for i = 1, #queues, 2 do
  listed[#listed + 1] = queues[i + 1]
  listed[#listed + 1] = redis.call('SISMEMBER', PAUSED, queues[i])
  listed[#listed + 1] = redis.call('HGET', HANDED_OUT, queues[i]) or '{}'
end
return listed
