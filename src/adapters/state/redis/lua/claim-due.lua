-- Takes jobs of a shard that need looking at, for one caller.
--
-- Guarantee: of callers at once, one gets a job; another gets it later, should nothing have come of it.
--
-- KEYS[1] the shard's deadlines, KEYS[2] its unsettled jobs
-- ARGV[1] a test's time or '', ARGV[2] milliseconds until it may be claimed again, ARGV[3...] ids
--
-- Returns the ids that the caller got.

--- include clock

local now = read_clock()
local claimed = {}
for i = 3, #ARGV do
  local due = false
  for _, key in ipairs({ KEYS[1], KEYS[2] }) do
    local at = redis.call('ZSCORE', key, ARGV[i])
    if at and tonumber(at) <= now then
      redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[i])
      due = true
    end
  end
  if due then claimed[#claimed + 1] = ARGV[i] end
end
return claimed
