-- Makes an empty log stream.
--
-- Guarantee: a stream that is there already stays as it is; there are never more than the bound.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/log.lua
-- ARGV[3] key, ARGV[4] how many streams there may be
--
-- Returns 'ok' or 'full'.

--- include log

local now, key = read_clock(), ARGV[3]
forget_old(now)
if not state_of(key) then
  if not make_room(key, 0, math.huge, tonumber(ARGV[4])) then return 'full' end
  set_state(key, 0, 0)
end
use(key, now)
return 'ok'
