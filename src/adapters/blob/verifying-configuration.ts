import { z } from 'zod';

export interface VerifyingBlobStoreConfiguration<Store> {
  readonly kind: 'verifying';
  readonly store: Store;
}

/** Configuration of a store that is checked. @param store the schema of any store. */
export function verifyingBlobStoreSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      kind: z.literal('verifying'),
      store: store.describe('The store that is not trusted. Has no default.'),
    })
    .meta({
      description:
        'Checks every blob that is read whole against its digest: for stores that do not check themselves. `disk` and ' +
        '`remote` do, so that it would only cost time there. A wrong blob is DATA_LOSS, and deleted where the store can.',
      examples: [{ kind: 'verifying', store: { kind: 'remote', endpoint: 'grpc://10.0.0.7:50051' } }],
    });
}
