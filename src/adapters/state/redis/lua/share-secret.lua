-- The secret that all replicas have in common.
--
-- Guarantee: the first that was proposed is everybody's, for as long as anybody asks for it.
--
-- KEYS[1] the secret
-- ARGV[1] a proposal, ARGV[2] milliseconds for which it is kept
--
-- Returns the secret.

redis.call('SET', KEYS[1], ARGV[1], 'NX')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('GET', KEYS[1])
