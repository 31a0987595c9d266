import { z } from 'zod';
import { checkRedisServer, redisServerShape } from '../state/redis/redis-configuration.ts';

const leaseShape = {
  useResolutionSeconds: z
    .number()
    .min(0)
    .default(10)
    .describe(
      'Uses of a blob within so many seconds of one that was noted are not noted; default 10. What was used is kept from ' +
        'eviction that much longer, so that minimumAgeSeconds holds. Less makes more writes.',
    ),
  leaseSeconds: z
    .number()
    .min(1)
    .default(60)
    .describe(
      'How long a replica may be silent about a blob that it writes or evicts, in seconds; default 60. Then another ' +
        'removes what it has left half done.',
    ),
};

/** Configuration of an index in the memory of the process. */
const memoryBlobIndexSchema = z
  .strictObject({ kind: z.literal('memory'), ...leaseShape })
  .describe(
    'In the memory of the process, some 75 bytes a blob: for a store that one process has. Made anew from the store at ' +
      'each start, in the background; meanwhile clients upload what is not in it yet.',
  );

/** Configuration of an index in Redis. */
const redisBlobIndexSchema = z
  .strictObject({
    kind: z.literal('redis'),
    name: z
      .string()
      .regex(/^[^{}\s]+$/, 'must hold neither braces nor white space')
      .default('blobs')
      .describe('Names the store that it is the index of; default `blobs`. Two stores need two names.'),
    ...redisServerShape,
    ...leaseShape,
  })
  .check(checkRedisServer)
  .describe(
    'In Redis, some 150 bytes of its memory a blob: for replicas that share a store. It needs maxmemory-policy noeviction.',
  );

/** Configuration of an index of blobs. */
export const blobIndexSchema = z.discriminatedUnion('kind', [memoryBlobIndexSchema, redisBlobIndexSchema]);

export type BlobIndexConfiguration = z.output<typeof blobIndexSchema>;
