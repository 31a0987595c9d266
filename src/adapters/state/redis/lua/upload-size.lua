-- How much of an upload is kept.
--
-- Guarantee: so much can be read.
--
-- KEYS[1..2], ARGV[1] as in fragments/upload.lua
--
-- Returns the bytes, 0 where nothing is known of it.

--- include upload

return kept_size()
