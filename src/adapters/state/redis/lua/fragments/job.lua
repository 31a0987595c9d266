--- include clock
--- include record
-- What every script on jobs shares.
--
-- KEYS[1] the job's record, KEYS[2] the shard's deadlines, KEYS[3] its queued jobs, KEYS[4] its unsettled jobs,
-- KEYS[5] its finished jobs, oldest first, KEYS[6] the sizes of their answers.
-- ARGV[1] a test's time or '', ARGV[2] how many finished jobs the shard keeps, ARGV[3] bytes of their answers.
--
-- Further keys that are touched, the pointers from operations and from shared actions to jobs and the records of
-- finished jobs that are pushed out, bear the same hash tag and lie in the same slot.
--
-- A record is a hash:
--   state        JSON of what changes and what scripts decide by
--   policy       the job's bounds: one line of numbers, `-` where there is none
--   shared       what an Execute must have in common to join; absent where the job must not be shared
--   requirement  the requirement's key
--   queue        the key of the work queue
--   fixed        JSON that scripts don't read
--   action, partial, outcome    bytes, where there are any
--   owed         `<version> <time> <reason>`: an offer, or with a reason a dead letter, that nobody has settled
--   operation:<id>              `<number> <created> <cancelled or -> <JSON that scripts don't read>`

-- How long a caller has for what it was given to do before another is asked.
local AGAIN_AFTER = 5000
-- Records outlast their next deadline by this much. Sweeps forget jobs long before; this is for a farm that is gone.
local SPARE_LIFE = 86400000
-- The same for finished jobs, which nobody needs to sweep.
local SPARE_RETENTION = 60000

local DEADLINES, QUEUED, UNSETTLED, FINISHED, ANSWERS, LINES, SHARD

-- From now on the shard is that of the job whose record is KEYS[first], and whose indexes follow it.
local function use_shard(first)
  DEADLINES, QUEUED, UNSETTLED = KEYS[first + 1], KEYS[first + 2], KEYS[first + 3]
  FINISHED, ANSWERS = KEYS[first + 4], KEYS[first + 5]
  SHARD = string.sub(DEADLINES, 1, -1 - #'deadlines')
  LINES = SHARD .. 'lines'
end
use_shard(1)

local function is_finished(job)
  return job.state ~= 'queued' and job.state ~= 'leased' and job.state ~= 'executing'
end

-- The line that a job stands in, as src/domain/waiting-lines.ts has it, or nil: what waits in one queue of the shard at one
-- priority, but for what no bot fitted. LINES has when each is looked at, the line's own key its jobs by their offers.
local function line_of(job, about)
  if job.state ~= 'queued' or job.unservedSince then return nil end
  return string.format('%d ', job.priority) .. about.queue
end

local function line_key(line)
  return SHARD .. 'line:' .. line
end

-- The job of a record and what is known about it, or nil.
local function load_job(key)
  local fields = redis.call('HMGET', key, 'state', 'policy', 'shared', 'owed', 'queue')
  if not fields[1] then return nil end
  local job = cjson.decode(fields[1])
  local bounds = {}
  for bound in string.gmatch(fields[2], '%S+') do bounds[#bounds + 1] = tonumber(bound) or false end
  local about = {
    key = key,
    id = string.sub(key, #SHARD + #'job:' + 1),
    policy = {
      max_attempts = bounds[1],
      queue_timeout = bounds[2],
      execution_timeout = bounds[3],
      abandon_after = bounds[4],
      unserved_grace = bounds[5],
      retention = bounds[6],
    },
    shared = fields[3],
    owed = fields[4],
    was_owed = fields[4],
    was_state = job.state,
    was_finished = is_finished(job),
    was_offered_at = job.offeredAt,
  }
  -- The record of an older replica names none.
  about.queue = fields[5] or about.id
  about.was_line = line_of(job, about)
  return job, about
end

-- Ids of the operations of a record, in no order.
local function operation_ids(key)
  local ids = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local id = string.match(field, '^operation:(.*)$')
    if id then ids[#ids + 1] = id end
  end
  return ids
end

local function operation_pointer(id)
  return SHARD .. 'operation:' .. id
end

local function shared_pointer(about)
  return SHARD .. 'shared:' .. about.shared
end

local function drop_shared_pointer(about)
  if about.shared and redis.call('GET', shared_pointer(about)) == about.id then
    redis.call('DEL', shared_pointer(about))
  end
end

-- Returns whether any job is left in it.
local function leave_line(line, id)
  redis.call('ZREM', line_key(line), id)
  if redis.call('EXISTS', line_key(line)) == 1 then return true end
  redis.call('ZREM', LINES, line)
  return false
end

-- Leaves nothing of a job, also where its record is gone already.
local function forget_job(about)
  for _, id in ipairs(operation_ids(about.key)) do redis.call('DEL', operation_pointer(id)) end
  drop_shared_pointer(about)
  if about.was_line then leave_line(about.was_line, about.id) end
  redis.call('DEL', about.key)
  redis.call('ZREM', DEADLINES, about.id)
  redis.call('SREM', QUEUED, about.id)
  redis.call('ZREM', UNSETTLED, about.id)
  redis.call('ZREM', FINISHED, about.id)
  local size = redis.call('HGET', ANSWERS, about.id)
  if size then
    redis.call('HDEL', ANSWERS, about.id)
    redis.call('HINCRBY', ANSWERS, 'total', -size)
  end
  if redis.call('ZCARD', FINISHED) == 0 then redis.call('DEL', ANSWERS) end
end

-- When a job without watchers counts as abandoned.
local function abandoned_at(job, policy)
  local since = job.unwatchedSince or 0
  for _, believed_until in pairs(job.watchers) do since = math.max(since, believed_until) end
  return since + policy.abandon_after
end

-- The earliest of the job's bounds.
local function next_deadline(job, policy)
  if is_finished(job) then return job.finishedAt + policy.retention end
  local deadline = abandoned_at(job, policy)
  if job.lease then
    return math.min(deadline, job.lease.expiresAt, job.lease.leasedAt + policy.execution_timeout)
  end
  if policy.queue_timeout then deadline = math.min(deadline, job.queuedAt + policy.queue_timeout) end
  -- Others are looked at with their lines.
  if job.unservedSince then deadline = math.min(deadline, job.fitCheckAt) end
  return deadline
end

-- Sees to it that nothing stays for ever, whatever happens to the farm.
local function keep_alive(job, about, deadline, now)
  local spare = is_finished(job) and SPARE_RETENTION or SPARE_LIFE
  local settled = about.was_finished == is_finished(job) and job.keptUntil
  if settled and job.keptUntil >= deadline + spare / 2 then return end
  job.keptUntil = deadline + spare
  about.expire_in = math.max(1, math.floor(job.keptUntil - now))
end

local function expire_keys(job, about)
  local life = about.expire_in
  if not life then return end
  redis.call('PEXPIRE', about.key, life)
  for _, id in ipairs(operation_ids(about.key)) do redis.call('PEXPIRE', operation_pointer(id), life) end
  if about.shared and not is_finished(job) then redis.call('PEXPIRE', shared_pointer(about), life) end
  local line = line_of(job, about)
  for _, key in ipairs({ DEADLINES, QUEUED, UNSETTLED, FINISHED, ANSWERS, LINES, line and line_key(line) }) do
    if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life + SPARE_LIFE) end
  end
end

-- Takes the job among the finished, and forgets the oldest that are too many. The youngest stays: someone waits for it.
local function note_finished(about)
  local size = redis.call('HSTRLEN', about.key, 'outcome')
  redis.call('ZADD', FINISHED, redis.call('HINCRBY', ANSWERS, 'sequence', 1), about.id)
  redis.call('HSET', ANSWERS, about.id, size)
  local total = redis.call('HINCRBY', ANSWERS, 'total', size)
  local count = redis.call('ZCARD', FINISHED)
  while count > 1 and (count > tonumber(ARGV[2]) or total > tonumber(ARGV[3])) do
    local id = redis.call('ZRANGE', FINISHED, 0, 0)[1]
    local key = SHARD .. 'job:' .. id
    forget_job({ key = key, id = id, shared = redis.call('HGET', key, 'shared') })
    total = tonumber(redis.call('HGET', ANSWERS, 'total'))
    count = count - 1
  end
end

-- Puts a job into its line, which is looked at by then, unless that is settled.
local function enter_line(line, job, about, now)
  redis.call('ZADD', line_key(line), job.offeredAt, about.id)
  redis.call('ZADD', LINES, 'NX', job.fitCheckAt, line)
  -- The line's key may be new.
  about.expire_in = about.expire_in or math.max(1, math.floor(job.keptUntil - now))
end

-- What was noted of one job may be true of all in its line, which is then due at once.
local function keep_in_line(job, about, now)
  local line, before = line_of(job, about), about.was_line
  if before and before ~= line and leave_line(before, about.id) and job.state == 'queued' and job.unservedSince then
    redis.call('ZADD', LINES, now, before)
  end
  if line and line ~= before then
    enter_line(line, job, about, now)
  elseif line and job.offeredAt ~= about.was_offered_at then
    redis.call('ZADD', line_key(line), job.offeredAt, about.id)
    redis.call('ZADD', LINES, now, line)
  end
end

-- Writes a job that has changed, with all its entries in the shard's indexes.
local function save_job(job, about, now)
  local deadline = next_deadline(job, about.policy)
  keep_alive(job, about, deadline, now)
  redis.call('HSET', about.key, 'state', cjson.encode(job))
  redis.call('ZADD', DEADLINES, deadline, about.id)
  if job.state == 'queued' and about.was_state ~= 'queued' then
    redis.call('SADD', QUEUED, about.id)
  elseif job.state ~= 'queued' and about.was_state == 'queued' then
    redis.call('SREM', QUEUED, about.id)
  end
  keep_in_line(job, about, now)
  if about.owed and about.owed ~= about.was_owed then
    redis.call('HSET', about.key, 'owed', about.owed)
    redis.call('ZADD', UNSETTLED, now + AGAIN_AFTER, about.id)
  elseif about.was_owed and not about.owed then
    redis.call('HDEL', about.key, 'owed')
    redis.call('ZREM', UNSETTLED, about.id)
  end
  if is_finished(job) and not about.was_finished then
    drop_shared_pointer(about)
    note_finished(about)
  end
  expire_keys(job, about)
end

-- The answer of a transition: whether it counted, what must follow, and the record, false where it was forgotten.
local function answer(about, accepted, effects)
  return { accepted and 1 or 0, effects, about and read_record(about.key) }
end

local function refused(about)
  return answer(about, false, {})
end
