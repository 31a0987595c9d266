import { z } from 'zod';

const ownShape = {
  kind: z.literal('existence-cache'),
  maximumStalenessSeconds: z
    .number()
    .positive()
    .default(30)
    .describe(
      'How long a blob that was there counts as there, in seconds; default 30. Meanwhile the store does not hear of its ' +
        'uses, so this must be less than minimumAgeSeconds of every disk behind; one that is evicted in this time is ' +
        'promised to clients and missing when it is read.',
    ),
  maximumEntries: z
    .int()
    .min(1)
    .default(100_000)
    .describe(
      'How many digests are remembered; default 100 000. Beyond it the least recently used are forgotten and asked for.',
    ),
};

export interface ExistenceCacheConfiguration<Store> extends z.output<z.ZodObject<typeof ownShape>> {
  readonly store: Store;
}

/** Configuration of a memory for which blobs are there. @param store the schema of any store. */
export function existenceCacheSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      ...ownShape,
      store: store.describe('The store whose answers are remembered: one that takes a journey to ask. Has no default.'),
    })
    .meta({
      description: 'Remembers for a while which blobs the store behind has. What is missing is never remembered.',
      examples: [
        {
          kind: 'existence-cache',
          maximumStalenessSeconds: 20,
          store: { kind: 'remote', endpoint: 'grpc://10.0.0.7:50051' },
        },
      ],
    });
}
