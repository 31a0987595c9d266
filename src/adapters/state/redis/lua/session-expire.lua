-- Ends the sessions of an instance that have outlived their time.
--
-- Guarantee: each is given to one caller, who gives back its leases.
--
-- KEYS[1..7], ARGV[1..3] as in fragments/session.lua; KEYS[1] and ARGV[2] are of no session
-- ARGV[4] how many at most
--
-- Returns names and records in turn.

--- include session

local now = read_clock()
local expired = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, ARGV[4])) do
  local record = end_session(name, 'expired', now)
  if record then
    expired[#expired + 1] = name
    expired[#expired + 1] = record
  end
end
return expired
