import { z } from 'zod';

const ownShape = {
  kind: z.literal('size-split'),
  thresholdBytes: z
    .int()
    .min(0)
    .default(128 * 1024)
    .describe(
      'The size of the largest blob that goes to `small`, in bytes; default 128 KiB. After a change blobs between the old ' +
        'size and the new are missing until they are uploaded anew.',
    ),
};

export interface SizeSplitBlobStoreConfiguration<Store> extends z.output<z.ZodObject<typeof ownShape>> {
  readonly small: Store;
  readonly large: Store;
}

/** Configuration of blobs split by size. @param store the schema of any store. */
export function sizeSplitBlobStoreSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      ...ownShape,
      small: store.describe('Where small blobs are kept. Has no default.'),
      large: store.describe('Where large blobs are kept. Has no default.'),
    })
    .meta({
      description: 'Small blobs in one store, large ones in another.',
      examples: [
        {
          kind: 'size-split',
          thresholdBytes: 65_536,
          small: { kind: 'disk', directory: '/ssd/blobs', maximumSizeBytes: 50_000_000_000 },
          large: { kind: 'disk', directory: '/hdd/blobs', maximumSizeBytes: 2_000_000_000_000 },
        },
      ],
    });
}
