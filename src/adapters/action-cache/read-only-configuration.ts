import { z } from 'zod';

export interface ReadOnlyActionCacheConfiguration<Store> {
  readonly kind: 'read-only';
  readonly store: Store;
}

/** Configuration of an action cache that nobody changes. @param store the schema of any action cache. */
export function readOnlyActionCacheSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({ kind: z.literal('read-only'), store: store.describe('The one that is read. Has no default.') })
    .meta({
      description:
        'Serves results and keeps none: updates by clients are PERMISSION_DENIED, which Capabilities advertises, and ' +
        'actions that run here are not remembered.',
      examples: [{ kind: 'read-only', store: { kind: 'remote', endpoint: 'grpcs://cache.example:443' } }],
    });
}
