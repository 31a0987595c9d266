-- Ends a session.
--
-- Guarantee: of callers at once, one gets the record, whose leases it gives back.
--
-- KEYS[1..7], ARGV[1..3] as in fragments/session.lua
-- ARGV[4] how it ends
--
-- Returns the record as it was, or nil.

--- include session

return end_session(ARGV[2], ARGV[4], read_clock())
