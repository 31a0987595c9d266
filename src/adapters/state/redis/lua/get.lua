-- A record, such as a job or a bot session.
--
-- Guarantee: changes nothing; the record is of one moment.
--
-- KEYS[1] the record
--
-- Returns it packed as in fragments/record.lua, or nil.

--- include record

return read_record(KEYS[1])
