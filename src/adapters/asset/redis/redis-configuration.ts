import { z } from 'zod';
import { assetsShape } from '../assets-configuration.ts';

/** Configuration of assets in Redis. */
export const redisAssetsSchema = z
  .strictObject({
    kind: z.literal('redis'),
    maximumAssets: z
      .int()
      .min(256)
      .default(1_000_000)
      .describe(
        'How many are kept; default 1 000 000, some 500 bytes each. Beyond, the least recently used are dropped. Kept ' +
          'for each of 256 shards, over which assets spread by their hash.',
      ),
    retentionSeconds: z
      .number()
      .positive()
      .default(30 * 86_400)
      .describe('For how long one is kept that nobody asks for, in seconds; default 30 days.'),
    ...assetsShape,
  })
  .meta({
    description: 'Which content URIs stand for, in the Redis of the section `redis`: what replicas share.',
    examples: [{ kind: 'redis', retentionSeconds: 604_800 }],
  });
