-- A bot takes the job.
--
-- Guarantee: each attempt of a job is leased at most once, and only while the job is queued for just this attempt.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] attempt, ARGV[5] bot id, ARGV[6] name of the bot session, ARGV[7] milliseconds that the lease lasts
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include tell

local job, about = load_job(KEYS[1])
if not job then return nil end
local attempt = tonumber(ARGV[4])
if job.state ~= 'queued' or attempt ~= job.attempts + 1 then return refused(about) end
local now = read_clock()
local effects = {}
job.state = 'leased'
job.version = job.version + 1
job.attempts = attempt
job.startedAt = now
job.unservedSince = nil
job.lease = {
  attempt = attempt,
  botId = ARGV[5],
  botSessionName = ARGV[6],
  leasedAt = now,
  expiresAt = now + tonumber(ARGV[7]),
}
about.owed = nil
notify(job, effects)
save_job(job, about, now)
return answer(about, true, effects)
