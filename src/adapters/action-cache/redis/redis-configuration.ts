import { z } from 'zod';
import { redisCacheShape } from '../../state/redis/redis-cache-configuration.ts';
import { checkRedisServer } from '../../state/redis/redis-configuration.ts';

/** Configuration of an action cache in Redis. */
export const redisActionCacheSchema = z
  .strictObject({ kind: z.literal('redis'), ...redisCacheShape })
  .check(checkRedisServer)
  .meta({
    description:
      'Results of actions in Redis, which replicas share. A result that nobody asks for goes after unusedSeconds; with ' +
      'maxmemory-policy allkeys-lru Redis drops others when its memory is full.',
    examples: [{ kind: 'redis', addresses: ['redis-cache.example:6379'], keyPrefix: 'warren-cache:' }],
  });
