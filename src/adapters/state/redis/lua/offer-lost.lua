-- The message of an offer is gone from its queue: expired, pushed out, purged, deleted, moved.
--
-- Guarantee: only the last offer counts; one that was made anew since stands.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] attempt, ARGV[5] when it was offered, ARGV[6] resend, fail, expired or overflow
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include finish

local job, about = load_job(KEYS[1])
if not job then return nil end
if job.state ~= 'queued' or job.attempts + 1 ~= tonumber(ARGV[4]) or job.offeredAt ~= tonumber(ARGV[5]) then
  return refused(about)
end
local now = read_clock()
local effects = {}
local loss = ARGV[6]
local queue = queue_in_words(about)
if loss == 'resend' then
  job.offeredAt = now
  offer(job, about, effects, now)
elseif loss == 'expired' then
  local seconds = math.floor((now - job.offeredAt) / 1000 + 0.5)
  local message = 'waited ' .. seconds .. ' s in ' .. queue .. ', as long as its policy allows'
  finish(job, about, 'expired', status_outcome(14, message, COME_AGAIN), now, effects)
  dead_letter(job, about, message, effects, now)
elseif loss == 'fail' then
  local message = 'lost from ' .. queue .. ', which was purged or deleted, or whose messages were moved'
  finish(job, about, 'failed', status_outcome(10, message), now, effects)
  dead_letter(job, about, message, effects, now)
else
  local message = queue .. ' is full: its policy dropped this job for a younger one'
  finish(job, about, 'failed', status_outcome(8, message, COME_AGAIN), now, effects)
end
save_job(job, about, now)
return answer(about, true, effects)
