--- include finish

-- Ends the attempt under way: the job goes back to its place in the queue, or fails once its attempts are used up.
local function retry(job, about, reason, now, effects, by_bot)
  local lease = job.lease
  table.insert(job.failedAttempts, {
    attempt = lease.attempt,
    botId = lease.botId,
    leasedAt = lease.leasedAt,
    endedAt = now,
    reason = reason,
  })
  redis.call('HDEL', about.key, 'partial')
  if lease.attempt >= about.policy.max_attempts then
    local message =
      'given up after ' .. lease.attempt .. ' attempts; the last, on bot ' .. lease.botId .. ': ' .. reason
    finish(job, about, 'failed', status_outcome(10, message), now, effects, by_bot)
    dead_letter(job, about, message, effects, now)
    return
  end
  let_go(job, about, effects, by_bot)
  job.state = 'queued'
  job.version = job.version + 1
  job.lease = nil
  job.offeredAt = now
  job.fitCheckAt = now
  job.unservedSince = nil
  offer(job, about, effects, now)
  notify(job, effects)
end
