import { z } from 'zod';

export interface ReadOnlyBlobStoreConfiguration<Store> {
  readonly kind: 'read-only';
  readonly store: Store;
}

/** Configuration of a store that nobody may change. @param store the schema of any store. */
export function readOnlyBlobStoreSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({ kind: z.literal('read-only'), store: store.describe('The store that is read. Has no default.') })
    .meta({
      description:
        'Refuses to store and delete, with PERMISSION_DENIED; blobs that are there already may be uploaded again. ' +
        'Actions cannot be run upon it, since nobody can store their outputs.',
      examples: [{ kind: 'read-only', store: { kind: 'remote', endpoint: 'grpcs://cache.example:443' } }],
    });
}
