-- The bot that holds the lease came to nothing.
--
-- Guarantee: the attempt counts; the job is queued again, or fails once its attempts are used up.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] attempt, ARGV[5] bot id, ARGV[6] reason
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include retry

local job, about = load_job(KEYS[1])
if not job then return nil end
if not job.lease or job.lease.attempt ~= tonumber(ARGV[4]) or job.lease.botId ~= ARGV[5] then return refused(about) end
local now = read_clock()
local effects = {}
retry(job, about, ARGV[6], now, effects, true)
save_job(job, about, now)
return answer(about, true, effects)
