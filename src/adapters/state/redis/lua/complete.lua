-- A bot's final word.
--
-- Guarantee: a job ends once. The holder of the lease is believed whatever it says; one whose attempt is over only if
-- its result is good, and the younger attempt is then stopped.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] attempt, ARGV[5] bot id, ARGV[6] outcome, ARGV[7] 1 where the result is good
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include finish

local job, about = load_job(KEYS[1])
if not job then return nil end
if is_finished(job) then return refused(about) end
local attempt = tonumber(ARGV[4])
local current = job.lease and job.lease.attempt == attempt and job.lease.botId == ARGV[5]
if not current then
  local held = false
  for _, each in ipairs(job.failedAttempts) do
    if each.attempt == attempt and each.botId == ARGV[5] then held = true end
  end
  if ARGV[7] ~= '1' or not held then return refused(about) end
end
local now = read_clock()
local effects = {}
finish(job, about, 'completed', ARGV[6], now, effects, current)
save_job(job, about, now)
return answer(about, true, effects)
