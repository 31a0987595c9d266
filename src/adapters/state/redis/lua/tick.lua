-- Time has passed.
--
-- Guarantee: applies the bound that has passed, if any, one a call, the weightiest first. What nobody has settled in
-- time comes back as an effect. What is left in the indexes of a job whose record is gone is cleared away.
--
-- KEYS[1..6], ARGV[1..3] as in fragments/job.lua
--
-- Returns {accepted, effects, record}, the record nil where it was forgotten, or nil where the job is not known.

--- include retry

local job, about = load_job(KEYS[1])
if not job then
  forget_job({ key = KEYS[1], id = string.sub(KEYS[1], #SHARD + #'job:' + 1) })
  return nil
end
local now = read_clock()
local policy = about.policy
local effects = {}
local accepted = true

if is_finished(job) then
  if now >= next_deadline(job, policy) then
    forget_job(about)
    return answer(false, true, effects)
  end
  accepted = false
elseif now >= abandoned_at(job, policy) then
  local message = 'cancelled: no client has watched it for ' .. policy.abandon_after / 1000 .. ' s'
  finish(job, about, 'cancelled', status_outcome(1, message), now, effects)
elseif job.lease then
  if now >= job.lease.leasedAt + policy.execution_timeout then
    local seconds = math.floor(policy.execution_timeout / 1000 + 0.5)
    local message = 'ran longer than ' .. seconds .. ' s on bot ' .. job.lease.botId
    finish(job, about, 'expired', status_outcome(4, message), now, effects)
  elseif now >= job.lease.expiresAt then
    retry(job, about, 'the bot was not heard of in time', now, effects)
  else
    accepted = false
  end
elseif policy.queue_timeout and now >= job.queuedAt + policy.queue_timeout then
  local seconds = math.floor((now - job.queuedAt) / 1000 + 0.5)
  local message = 'waited ' .. seconds .. ' s in ' .. queue_in_words(about) .. ' and no bot took it'
  finish(job, about, 'expired', status_outcome(14, message, COME_AGAIN), now, effects)
elseif now >= job.fitCheckAt then
  job.fitCheckAt = now + policy.unserved_grace
  effects[#effects + 1] = { 'check-fit' }
else
  accepted = false
end

if about.owed then
  local _, owed_since, reason = string.match(about.owed, '^(%d+) (%d+) (.*)$')
  if now >= owed_since + AGAIN_AFTER then
    accepted = true
    if reason == '' then
      job.offeredAt = now
      offer(job, about, effects, now)
    else
      dead_letter(job, about, reason, effects, now)
    end
  end
end
save_job(job, about, now)
return answer(about, accepted, effects)
