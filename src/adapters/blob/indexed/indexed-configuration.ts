import { z } from 'zod';
import { blobIndexSchema } from '../../blob-index/blob-index-configuration.ts';
import { evictionShape } from '../disk/disk-configuration.ts';

const GIBIBYTE = 1024 ** 3;

const ownShape = {
  kind: z.literal('indexed'),
  index: blobIndexSchema.describe('Which blobs there are, how large, and when each was used last. Has no default.'),
  maximumSizeBytes: z
    .int()
    .min(1)
    .default(20 * GIBIBYTE)
    .describe(
      'Greatest total size of all blobs in bytes, uploads under way included; default 20 GiB. Uploads for which no room ' +
        'can be made are refused with RESOURCE_EXHAUSTED.',
    ),
  ...evictionShape,
};

export interface IndexedBlobStoreConfiguration<Store> extends z.output<z.ZodObject<typeof ownShape>> {
  readonly store: Store;
}

/** Configuration of a store with an index beside it. @param store the schema of any store. */
export function indexedBlobStoreSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      ...ownShape,
      store: store.describe(
        'Where the blobs are: what can be deleted from, and evicts nothing by itself. Has no default.',
      ),
    })
    .meta({
      description:
        'A store with an index beside it, which answers FindMissingBlobs and says what to evict: for stores that many ' +
        'replicas share, or that cannot tell quickly what they have.',
      examples: [
        {
          kind: 'indexed',
          index: { kind: 'redis', addresses: ['redis.example:6379'] },
          store: { kind: 's3', bucket: 'build-cache' },
          maximumSizeBytes: 5_000_000_000_000,
          maximumCount: 50_000_000,
        },
      ],
    });
}
