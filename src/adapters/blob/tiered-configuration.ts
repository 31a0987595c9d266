import { z } from 'zod';

const ownShape = {
  kind: z.literal('tiered'),
  mode: z
    .enum(['write-through', 'write-back'])
    .default('write-through')
    .describe(
      '`write-through`, the default: an upload is acknowledged once `slow` has the blob. `write-back`: once `fast` has it; ' +
        '`slow` gets it in the background, tried again until it does. Where `fast` is a `disk`, this goes on after the process ' +
        'was killed; otherwise what waits is lost with the process.',
    ),
  maximumFastBlobBytes: z
    .int()
    .min(0)
    .default(16 * 1024 * 1024)
    .describe(
      'Larger blobs are not kept in `fast`, in bytes; default 16 MiB. Higher ones push many small blobs out of it. With ' +
        'write-back it decides for reads alone: every upload goes through `fast`.',
    ),
  maximumPending: z
    .int()
    .min(1)
    .default(1_000)
    .describe(
      'With write-back: how many blobs may wait for `slow`; default 1000. Beyond it uploads wait for room, and are ' +
        'UNAVAILABLE after 30 s. `fast` evicts none of them. What waits at a stop is written within `drainSeconds`.',
    ),
};

export interface TieredBlobStoreConfiguration<Store> extends z.output<z.ZodObject<typeof ownShape>> {
  readonly fast: Store;
  readonly slow: Store;
}

/** Configuration of a fast store in front of a slow one. @param store the schema of any store. */
export function tieredBlobStoreSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      ...ownShape,
      fast: store.describe(
        'The store that is asked first and loses nothing of value when it is emptied. Has no default.',
      ),
      slow: store.describe('The store that has everything. Has no default.'),
    })
    .meta({
      description:
        'A small fast store in front of a large slow one; what is read from the slow one stays in the fast one.',
      examples: [
        {
          kind: 'tiered',
          fast: { kind: 'memory', maximumSizeBytes: 1_073_741_824 },
          slow: { kind: 'remote', endpoint: 'grpc://10.0.0.7:50051' },
          maximumFastBlobBytes: 1_048_576,
        },
      ],
    });
}
