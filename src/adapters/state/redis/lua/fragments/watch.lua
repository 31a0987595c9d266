-- The job with one more, or one younger, watcher.
local function add_watch(job, replica, milliseconds, now)
  job.watchers[replica] = now + milliseconds
  job.unwatchedSince = nil
end
