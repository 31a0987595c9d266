-- A replica begins, or goes on, to stream the job.
--
-- Guarantee: an unfinished job is not taken for abandoned before the time that the replica named.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] replica, ARGV[5] milliseconds
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include job
--- include watch

local job, about = load_job(KEYS[1])
if not job then return nil end
if is_finished(job) then return refused(about) end
local now = read_clock()
add_watch(job, ARGV[4], tonumber(ARGV[5]), now)
save_job(job, about, now)
return answer(about, true, {})
