-- A replica still streams these jobs of one shard, and asks what it has missed.
--
-- Guarantee: each unfinished job is watched from now on for the time named; a record whose version is younger than the
-- one named comes back as it then is.
--
-- KEYS[1] the first record, KEYS[2..6] indexes (fragments/job.lua), KEYS[7...] the further records
-- ARGV[1..3] as in fragments/job.lua, ARGV[4] replica, ARGV[5] milliseconds, ARGV[6...] the version known of each
--
-- Returns for each record 0 where it is gone, 1 where it is the same, or the record.

--- include job
--- include watch

local now = read_clock()
local found = {}
for i = 6, #ARGV do
  local key = i == 6 and KEYS[1] or KEYS[i]
  local job, about = load_job(key)
  if not job then
    found[#found + 1] = 0
  else
    if not is_finished(job) then
      add_watch(job, ARGV[4], tonumber(ARGV[5]), now)
      save_job(job, about, now)
    end
    found[#found + 1] = job.version > tonumber(ARGV[i]) and read_record(key) or 1
  end
end
return found
