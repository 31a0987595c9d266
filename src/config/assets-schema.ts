import { z } from 'zod';
import { diskAssetsSchema } from '../adapters/asset/disk/disk-configuration.ts';
import { memoryAssetsSchema } from '../adapters/asset/memory/memory-configuration.ts';
import { redisAssetsSchema } from '../adapters/asset/redis/redis-configuration.ts';

/** Where it is kept which content URIs stand for (the role `asset`). */
export const assetsSchema = z.discriminatedUnion('kind', [diskAssetsSchema, memoryAssetsSchema, redisAssetsSchema]);

export type AssetsConfiguration = z.output<typeof assetsSchema>;

/** What holds where a replica has the role `asset` and its configuration says nothing of it. */
export function defaultAssets(redisIsThere: boolean): AssetsConfiguration {
  return assetsSchema.parse({ kind: redisIsThere ? 'redis' : 'memory' });
}
