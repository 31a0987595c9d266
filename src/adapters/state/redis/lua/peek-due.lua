-- Which jobs of some shards need looking at.
--
-- Guarantee: changes nothing. Shards are read, so that outside a cluster one call may name all of them.
--
-- KEYS[1], KEYS[2] a shard's deadlines and its unsettled jobs, KEYS[3], KEYS[4] the next shard's, and so on
-- ARGV[1] a test's time or '', ARGV[2] how many at most of each kind and shard, ARGV[3] how many are enough in all: what
-- stands in shards behind is left for the next call
--
-- Returns ids and times in turn; an id may come twice.

--- include clock

local now = read_clock()
local due = {}
for _, key in ipairs(KEYS) do
  if #due / 2 >= tonumber(ARGV[3]) then break end
  for _, each in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])) do
    due[#due + 1] = each
  end
end
return due
