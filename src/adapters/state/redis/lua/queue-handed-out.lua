-- A bot was handed messages of a work queue.
--
-- Guarantee: of what replicas note, the youngest of each level of priority stays.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/queue.lua
-- ARGV[3] key of the queue, then in turn a level and when the youngest message of that level was offered
--
-- Returns 1, or 0 where the queue is not known.

--- include queue

if redis.call('HEXISTS', QUEUES, ARGV[3]) == 0 then return 0 end
local youngest = cjson.decode(redis.call('HGET', HANDED_OUT, ARGV[3]) or '{}')
for i = 4, #ARGV, 2 do
  youngest[ARGV[i]] = math.max(youngest[ARGV[i]] or 0, tonumber(ARGV[i + 1]))
end
redis.call('HSET', HANDED_OUT, ARGV[3], cjson.encode(youngest))
keep_alive()
return 1
