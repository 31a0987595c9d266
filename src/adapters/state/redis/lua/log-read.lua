-- Reads a part of a log stream.
--
-- Guarantee: size, end and bytes are of one moment; a stream that is read is not forgotten.
--
-- KEYS[1..4], ARGV[1..2] as in fragments/log.lua
-- ARGV[3] key, ARGV[4] offset, ARGV[5] how many bytes at most; 0 to leave it as unused as it was
--
-- Returns size, whether it is finished, and the bytes; nothing where there is no such stream.

--- include log

local now, key = read_clock(), ARGV[3]
forget_old(now)
local size, finished = state_of(key)
if not size then return false end
local offset, most = tonumber(ARGV[4]), tonumber(ARGV[5])
if most == 0 then return { size, finished, '' } end
use(key, now)
if offset >= size then return { size, finished, '' } end
return { size, finished, redis.call('GETRANGE', data_key(key), offset, offset + most - 1) }
