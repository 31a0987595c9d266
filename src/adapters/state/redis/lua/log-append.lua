-- Adds to a log stream.
--
-- Guarantee: bytes stand at their offset once, however often they are sent; what is refused changes nothing but that
-- finished streams may have made way.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/log.lua
-- ARGV[3] key, ARGV[4] offset of the data, ARGV[5] data, ARGV[6] 1 when nothing follows, ARGV[7] 1 to make the stream,
-- ARGV[8] bytes that a stream may have, ARGV[9] that all may have, ARGV[10] how many streams there may be
--
-- Returns 'ok' or why not ('absent', 'gap', 'finished', 'too-long', 'full'), the size, and whether it is finished.

--- include log

local now, key, offset = read_clock(), ARGV[3], tonumber(ARGV[4])
forget_old(now)
local known, was_finished = state_of(key)
local size, finished = known or 0, was_finished or 0
if not known and ARGV[7] ~= '1' then return { 'absent', size, finished } end
if offset > size then return { 'gap', size, finished } end
local fresh = string.sub(ARGV[5], size - offset + 1)
if finished == 1 and #fresh > 0 then return { 'finished', size, finished } end
if size + #fresh > tonumber(ARGV[8]) then return { 'too-long', size, finished } end
if not make_room(key, #fresh, tonumber(ARGV[9]), tonumber(ARGV[10])) then return { 'full', size, finished } end
if #fresh > 0 then
  redis.call('APPEND', data_key(key), fresh)
  redis.call('INCRBY', BYTES, #fresh)
end
if ARGV[6] == '1' then finished = 1 end
set_state(key, size + #fresh, finished)
use(key, now)
return { 'ok', size + #fresh, finished }
