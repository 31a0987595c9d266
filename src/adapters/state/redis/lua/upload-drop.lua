-- An upload is over.
--
-- Guarantee: nothing of it is kept.
--
-- KEYS[1] and KEYS[2] as in fragments/upload.lua
--
-- Returns how many keys it had.

return redis.call('DEL', KEYS[1], KEYS[2])
