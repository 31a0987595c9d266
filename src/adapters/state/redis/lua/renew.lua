-- The bot that holds the lease is alive.
--
-- Guarantee: only the holder of the present attempt prolongs it. Watchers hear of new partial metadata alone.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] attempt, ARGV[5] bot id, ARGV[6] milliseconds that the lease lasts from now, ARGV[7] 1 where it runs,
-- ARGV[8] 1 where partial metadata comes, ARGV[9] the metadata
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include tell

local job, about = load_job(KEYS[1])
if not job then return nil end
if not job.lease or job.lease.attempt ~= tonumber(ARGV[4]) or job.lease.botId ~= ARGV[5] then return refused(about) end
local now = read_clock()
local effects = {}
local told = ARGV[8] == '1' and redis.call('HGET', about.key, 'partial') ~= ARGV[9]
if told then redis.call('HSET', about.key, 'partial', ARGV[9]) end
local begins = ARGV[7] == '1' and job.state ~= 'executing'
if begins then job.state = 'executing' end
if told or begins then job.version = job.version + 1 end
job.lease.expiresAt = now + tonumber(ARGV[6])
if told then notify(job, effects) end
save_job(job, about, now)
return answer(about, true, effects)
