--- include job
-- How looks at jobs that wait are answered: whether any bot fits them, and whether their messages are still there.
--
-- A look is eight values: id, attempts, priority, when it was offered, for how long, 1 where no bot fitted before, the
-- grace, and which of the queues, from 0. A queue is two values: what never changes of one of its jobs, as JSON, and the
-- requirement's key.

local looks, queues, known = {}, {}, {}

local function number_of_queue(about)
  local number = known[about.queue]
  if not number then
    local named = redis.call('HMGET', about.key, 'fixed', 'requirement')
    number = #queues / 2
    queues[#queues + 1] = named[1]
    queues[#queues + 1] = named[2]
    known[about.queue] = number
  end
  return number
end

-- Whether a job waits, and neither its wait nor its clients' interest has come to an end.
local function may_wait(job, policy, now)
  if job.state ~= 'queued' or now >= abandoned_at(job, policy) then return false end
  return not (policy.queue_timeout and now >= job.queuedAt + policy.queue_timeout)
end

local function add_look(job, about, now)
  for _, value in ipairs({
    about.id,
    job.attempts,
    tostring(job.priority),
    tostring(job.offeredAt),
    tostring(now - job.offeredAt),
    job.unservedSince and 1 or 0,
    tostring(about.policy.unserved_grace),
    number_of_queue(about),
  }) do
    looks[#looks + 1] = value
  end
end
