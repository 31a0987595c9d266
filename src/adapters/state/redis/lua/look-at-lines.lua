-- Takes the looks at lines of jobs that wait, for one caller. Outside a cluster one call may name any shards.
--
-- Guarantee: a line that is due is given to one caller, with the jobs whose offers are the oldest, and its next look is put
-- off by the least of their graces.
--
-- KEYS[1] begins the records of a shard, KEYS[2..6] its indexes (fragments/job.lua), KEYS[7..12] the next shard's, and so on
-- ARGV[1..3] as in fragments/job.lua, ARGV[4] how many jobs of a line, ARGV[5] how many looks are enough in all: what is
-- due beyond stays due
--
-- Returns {looks, queues}, as in fragments/look.lua.

--- include look

local LOOK_VALUES = 8
local now = read_clock()

local function is_enough()
  return #looks / LOOK_VALUES >= tonumber(ARGV[5])
end

local function look_at_line(jobs, line)
  local grace
  for _, id in ipairs(redis.call('ZRANGE', line_key(line), 0, tonumber(ARGV[4]) - 1)) do
    local job, about = load_job(jobs .. id)
    if job and about.was_line == line then
      grace = math.min(grace or about.policy.unserved_grace, about.policy.unserved_grace)
      if may_wait(job, about.policy, now) then add_look(job, about, now) end
    elseif not leave_line(line, id) then
      -- Left there by an older replica, which knew no lines.
      return
    end
  end
  redis.call('ZADD', LINES, now + math.max(1, grace or 0), line)
end

for i = 1, #KEYS, 6 do
  if is_enough() then break end
  use_shard(i)
  for _, line in ipairs(redis.call('ZRANGEBYSCORE', LINES, '-inf', now, 'LIMIT', 0, ARGV[5])) do
    if is_enough() then break end
    look_at_line(KEYS[i], line)
  end
end
return { looks, queues }
