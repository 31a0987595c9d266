-- A piece of an upload.
--
-- Guarantee: pieces in turn are what was appended.
--
-- KEYS[1..2], ARGV[1] as in fragments/upload.lua
-- ARGV[2] number of the piece, from 0
--
-- Returns its bytes, or nil behind the last.

--- include upload

if kept_size() == 0 then return false end
return redis.call('LINDEX', PIECES, ARGV[2])
