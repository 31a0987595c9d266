-- Which jobs of a shard need looking at.
--
-- Guarantee: changes nothing.
--
-- KEYS[1] the shard's deadlines, KEYS[2] its unsettled jobs
-- ARGV[1] a test's time or '', ARGV[2] how many at most of each kind
--
-- Returns ids and times in turn; an id may come twice.

--- include clock

local now = read_clock()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for _, each in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])) do
  due[#due + 1] = each
end
return due
