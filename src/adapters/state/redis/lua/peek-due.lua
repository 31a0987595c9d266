-- Which jobs of some shards need looking at, and in which a line of jobs does.
--
-- Guarantee: changes nothing. Shards are read, so that outside a cluster one call may name all of them.
--
-- KEYS[1..3] a shard's deadlines, its unsettled jobs and its lines, KEYS[4..6] the next shard's, and so on
-- ARGV[1] a test's time or '', ARGV[2] how many at most of each kind and shard, ARGV[3] how many are enough in all: what
-- stands in shards behind is left for the next call
--
-- Returns {ids and times in turn, where an id may come twice; the numbers of the shards with lines, from 0}.

--- include clock

local now = read_clock()
local due, shards = {}, {}
for i = 1, #KEYS, 3 do
  if #due / 2 + #shards >= tonumber(ARGV[3]) then break end
  for kind = 0, 1 do
    for _, each in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i + kind], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[2])) do
      due[#due + 1] = each
    end
  end
  if redis.call('ZCOUNT', KEYS[i + 2], '-inf', now) > 0 then shards[#shards + 1] = (i - 1) / 3 end
end
return { due, shards }
