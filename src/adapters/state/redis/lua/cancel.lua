-- Ends the job for all its clients.
--
-- Guarantee: an unfinished job ends; a finished one stays as it is.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] reason
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include finish

local job, about = load_job(KEYS[1])
if not job then return nil end
if is_finished(job) then return refused(about) end
local now = read_clock()
local effects = {}
finish(job, about, 'cancelled', status_outcome(1, ARGV[4]), now, effects)
save_job(job, about, now)
return answer(about, true, effects)
