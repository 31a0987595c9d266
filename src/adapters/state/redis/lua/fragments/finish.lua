--- include tell

-- An outcome without an answer of a bot, as the record holds it. `details` is JSON.
local function status_outcome(code, message, details)
  return 's{"code":' .. code .. ',"message":' .. cjson.encode(message) .. ',"details":' .. (details or '[]') .. '}'
end

-- The details of an outcome that asks the client to come again: what `retryableOutcome` has.
local COME_AGAIN = '[{"kind":"retry-info","retryDelayMilliseconds":5000}]'

-- Ends an unfinished job: lets go of its place or its bot, and tells every watcher.
local function finish(job, about, state, outcome, now, effects, by_bot)
  let_go(job, about, effects, by_bot)
  notify(job, effects)
  job.state = state
  job.version = job.version + 1
  job.lease = nil
  job.finishedAt = now
  job.unservedSince = nil
  about.owed = nil
  redis.call('HSET', about.key, 'outcome', outcome)
  redis.call('HDEL', about.key, 'action')
end
