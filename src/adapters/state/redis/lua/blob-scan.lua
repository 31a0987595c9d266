-- All that is stored, in pages.
--
-- Guarantee: what is stored from the first page to the last is on one of them at least.
--
-- KEYS[1..4], ARGV[1] as in fragments/blobs.lua
-- ARGV[2] is not used, ARGV[3] the cursor of the page before or '0', ARGV[4] about how many
--
-- Returns the next cursor, '0' behind the last page, then blobs and times of last use in turn.

--- include blobs

return redis.call('ZSCAN', STORED, ARGV[3], 'COUNT', ARGV[4])
