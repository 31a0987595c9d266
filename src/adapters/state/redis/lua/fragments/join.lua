--- include tell
--- include watch

-- One more operation. One that is more urgent raises the job, and a queued job is offered anew at its new place.
local function join_job(job, about, operation, now, effects)
  job.lastOperation = job.lastOperation + 1
  job.operations = job.operations + 1
  job.wanted = job.wanted + 1
  job.version = job.version + 1
  local line = string.format('%d %d - ', job.lastOperation, now)
  redis.call('HSET', about.key, 'operation:' .. operation.id, line .. operation.json)
  redis.call('SET', operation_pointer(operation.id), about.id, 'PX', math.max(1, math.floor(job.keptUntil - now)))
  if operation.replica ~= '' then add_watch(job, operation.replica, operation.milliseconds, now) end
  if operation.priority < job.priority then
    job.priority = operation.priority
    if job.state == 'queued' then
      job.offeredAt = now
      offer(job, about, effects, now)
    end
  end
  save_job(job, about, now)
end
