-- How much there is.
--
-- Guarantee: the numbers are of one moment.
--
-- KEYS[1..4], ARGV[1] as in fragments/blobs.lua
--
-- Returns 0, then the totals.

--- include blobs

return with_totals(0)
