-- One more operation wants a job whose id is known.
--
-- Guarantee: the operation stands on the job and can be found by its id, or nothing has changed.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] id of the operation, ARGV[5] its JSON, ARGV[6] its priority, ARGV[7] replica that watches or '',
-- ARGV[8] for how many milliseconds
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include join

local job, about = load_job(KEYS[1])
if not job then return nil end
if is_finished(job) or not about.shared then return refused(about) end
local effects = {}
join_job(job, about, {
  id = ARGV[4],
  json = ARGV[5],
  priority = tonumber(ARGV[6]),
  replica = ARGV[7],
  milliseconds = tonumber(ARGV[8]),
}, read_clock(), effects)
return answer(about, true, effects)
