-- read_clock(): milliseconds since the epoch on Redis' own clock, so that replicas whose clocks disagree share one time.
-- ARGV[1] is empty; a test that makes time itself puts its time there.
local function read_clock()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
