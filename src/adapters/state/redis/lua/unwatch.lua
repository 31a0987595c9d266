-- A replica streams the job no more.
--
-- Guarantee: from the last watcher on, the time runs after which the job is abandoned.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] replica
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include job

local job, about = load_job(KEYS[1])
if not job then return nil end
if is_finished(job) or not job.watchers[ARGV[4]] then return refused(about) end
local now = read_clock()
job.watchers[ARGV[4]] = nil
job.unwatchedSince = nil
if next(job.watchers) == nil then job.unwatchedSince = now end
save_job(job, about, now)
return answer(about, true, {})
