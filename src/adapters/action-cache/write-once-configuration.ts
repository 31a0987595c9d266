import { z } from 'zod';

export interface WriteOnceActionCacheConfiguration<Store> {
  readonly kind: 'write-once';
  readonly store: Store;
}

/** Configuration of an action cache whose results are not replaced. @param store the schema of any action cache. */
export function writeOnceActionCacheSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      kind: z.literal('write-once'),
      store: store.describe('The one whose results are not replaced. Has no default.'),
    })
    .meta({
      description:
        'Keeps the first result of each action for as long as its outputs are stored; a later one is dropped, and whoever ' +
        'sent it gets the first. Replicas keep to it among each other where `store` is on Redis, or on S3 whose server keeps ' +
        'to conditional writes (the log says which); on other servers, one of two that put at the same moment may be replaced.',
      examples: [{ kind: 'write-once', store: { kind: 'disk', directory: '/var/lib/warren/action-cache' } }],
    });
}
