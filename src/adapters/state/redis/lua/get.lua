-- A record, such as a job or a bot session.
--
-- Guarantee: changes nothing; the record is of one moment.
--
-- KEYS[1] the record
--
-- Returns fields and values in turn, none where there is no record.

return redis.call('HGETALL', KEYS[1])
