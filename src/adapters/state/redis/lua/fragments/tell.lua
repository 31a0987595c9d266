--- include job
-- What must follow a change. Effects are arrays: the type, then what it needs beyond the record.

-- Every replica that streams the job hears of the change.
local function notify(job, effects)
  local effect = { 'notify' }
  for replica in pairs(job.watchers) do effect[#effect + 1] = replica end
  effects[#effects + 1] = effect
end

-- The broker hears that the job waits. Owed until it is settled. To be called when the version is that of the change.
local function offer(job, about, effects, now)
  effects[#effects + 1] = { 'offer' }
  about.owed = string.format('%d %d ', job.version, now)
end

-- The operator hears. Owed until it is settled.
local function dead_letter(job, about, reason, effects, now)
  effects[#effects + 1] = { 'dead-letter', reason }
  about.owed = string.format('%d %d ', job.version, now) .. reason
end

-- The job's work queue, for messages to clients and operators.
local function queue_in_words(about)
  local requirement = redis.call('HGET', about.key, 'requirement')
  return requirement == '' and 'the queue without requirement' or 'queue ' .. requirement
end

-- What the job holds of the farm is let go: its place in the queue, or its bot, unless the bot itself ended the lease.
local function let_go(job, about, effects, by_bot)
  if job.state == 'queued' then
    local queue = redis.call('HMGET', about.key, 'fixed', 'requirement')
    effects[#effects + 1] = { 'withdraw', queue[1], queue[2] }
  elseif job.lease and not by_bot then
    effects[#effects + 1] = { 'end-lease', job.lease.botSessionName, about.id .. '.' .. job.lease.attempt }
  end
end
