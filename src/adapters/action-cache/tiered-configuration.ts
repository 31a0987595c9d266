import { z } from 'zod';

export interface TieredActionCacheConfiguration<Store> {
  readonly kind: 'tiered';
  readonly fast: Store;
  readonly slow: Store;
}

/** Configuration of a fast action cache in front of a slow one. @param store the schema of any action cache. */
export function tieredActionCacheSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      kind: z.literal('tiered'),
      fast: store.describe('The one that is asked first, and may be lost. Has no default.'),
      slow: store.describe('The one that has everything; a result is stored once it has it. Has no default.'),
    })
    .meta({
      description:
        'A small fast action cache in front of a large slow one; what is found in the slow one stays in the fast one.',
      examples: [
        {
          kind: 'tiered',
          fast: { kind: 'memory', maximumSizeBytes: 268_435_456 },
          slow: { kind: 's3', bucket: 'build-results', keyPrefix: 'warren/' },
        },
      ],
    });
}
