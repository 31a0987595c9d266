import { z } from 'zod';
import { redisCacheShape } from '../../state/redis/redis-cache-configuration.ts';
import { checkRedisServer } from '../../state/redis/redis-configuration.ts';

/** Configuration of blobs in Redis. */
export const redisBlobStoreSchema = z
  .strictObject({
    kind: z.literal('redis'),
    ...redisCacheShape,
    maximumBlobBytes: z
      .int()
      .min(1)
      .max(64 * 1024 ** 2)
      .default(1024 ** 2)
      .describe(
        'The largest blob that is taken, in bytes; default 1 MiB. Each is whole in memory, here and in Redis, which serves ' +
          'nobody else while it moves one. Put others elsewhere with size-split.',
      ),
  })
  .check(checkRedisServer)
  .meta({
    description:
      'Small blobs in Redis, which replicas share. Give it a Redis of its own with maxmemory and maxmemory-policy ' +
      'allkeys-lru; with noeviction uploads are refused while it is full. It has nothing on disk unless told so.',
    examples: [
      {
        kind: 'size-split',
        thresholdBytes: 65_536,
        small: { kind: 'redis', addresses: ['redis-cache.example:6379'], keyPrefix: 'warren-cache:' },
        large: { kind: 's3', bucket: 'build-cache' },
      },
    ],
  });

export type RedisBlobStoreConfiguration = z.output<typeof redisBlobStoreSchema>;
