-- Someone looked whether any bot covers the requirement.
--
-- Guarantee: a job fails for want of a bot only when none has fitted for the whole grace.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
-- ARGV[4] 1 where no bot fits, ARGV[5] what no bot has, in words, ARGV[6] the same as JSON
--
-- Returns {accepted, effects, record}, or nil where the job is not known.

--- include finish

local job, about = load_job(KEYS[1])
if not job then return nil end
if job.state ~= 'queued' then return refused(about) end
local now = read_clock()
local effects = {}
local grace = about.policy.unserved_grace
if ARGV[4] ~= '1' then
  job.unservedSince = nil
  job.fitCheckAt = now + grace
else
  local since = job.unservedSince or now
  if now - since < grace then
    job.unservedSince = since
    job.fitCheckAt = since + grace
  else
    local seconds = math.floor(grace / 1000 + 0.5)
    local message = 'no bot can run this action: ' .. ARGV[5] .. ' (waited ' .. seconds .. ' s for one)'
    local details = '[{"kind":"precondition-failure","violations":[{"type":"PLATFORM","subject":'
      .. cjson.encode(redis.call('HGET', about.key, 'requirement'))
      .. ',"description":'
      .. ARGV[6]
      .. '}]}]'
    finish(job, about, 'failed', status_outcome(9, message, details), now, effects)
    dead_letter(job, about, message, effects, now)
  end
end
save_job(job, about, now)
return answer(about, true, effects)
