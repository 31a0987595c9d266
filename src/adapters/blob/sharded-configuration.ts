import { z } from 'zod';

const shardShape = {
  name: z
    .string()
    .min(1)
    .describe(
      'Decides, with the digest, which blobs it holds. Has no default; must stay when the store moves to another place, ' +
        'or all its blobs are looked for elsewhere.',
    ),
  weight: z
    .number()
    .positive()
    .default(1)
    .describe(
      "Its share, in relation to the others' weights; default 1. A change moves blobs, which are then missing.",
    ),
};

interface ShardConfiguration<Store> extends z.output<z.ZodObject<typeof shardShape>> {
  readonly store: Store;
}

export interface ShardedBlobStoreConfiguration<Store> {
  readonly kind: 'sharded';
  readonly shards: ReadonlyArray<ShardConfiguration<Store>>;
}

/** Configuration of blobs spread over several stores. @param store the schema of any store. */
export function shardedBlobStoreSchema<Store>(store: z.ZodType<Store>) {
  const shard = z.strictObject({ ...shardShape, store: store.describe('Where its blobs are kept. Has no default.') });
  return z
    .strictObject({
      kind: z.literal('sharded'),
      shards: z
        .array(shard)
        .min(1)
        .check((context) => {
          const names = context.value.map(({ name }) => name);
          for (const [index, name] of names.entries()) {
            if (names.indexOf(name) === index) continue;
            context.issues.push({
              code: 'custom',
              input: name,
              path: [index, 'name'],
              message: `shard '${name}' comes twice`,
            });
          }
        })
        .describe(
          'The stores, with different names; has no default. Their order is of no matter. One that is added takes over ' +
            'its share, which is missing until it is uploaded anew; nothing else moves.',
        ),
    })
    .meta({
      description:
        'Each blob in one of several stores, chosen by its digest. A store that is away takes its share along.',
      examples: [
        {
          kind: 'sharded',
          shards: [
            { name: 'a', store: { kind: 'disk', directory: '/disks/1/blobs' } },
            { name: 'b', weight: 2, store: { kind: 'disk', directory: '/disks/2/blobs' } },
          ],
        },
      ],
    });
}
