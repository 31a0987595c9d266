import { z } from 'zod';

const ownShape = {
  kind: z.literal('mirrored'),
  minimumCopies: z
    .int()
    .min(1)
    .default(1)
    .describe(
      'How many mirrors have to take a blob before its upload is acknowledged; default 1: uploads go on as long as one ' +
        'mirror is there, and what is uploaded then has one copy until it is asked for again. More refuses uploads ' +
        'while fewer are there.',
    ),
};

export interface MirroredBlobStoreConfiguration<Store> extends z.output<z.ZodObject<typeof ownShape>> {
  readonly mirrors: readonly Store[];
}

/** Configuration of blobs kept several times. @param store the schema of any store. */
export function mirroredBlobStoreSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      ...ownShape,
      mirrors: z
        .array(store)
        .min(2)
        .describe('Two stores or more, each of which gets every blob; has no default. Reads take turns.'),
    })
    .check((context) => {
      const { minimumCopies, mirrors } = context.value;
      if (minimumCopies <= mirrors.length) return;
      context.issues.push({
        code: 'custom',
        input: minimumCopies,
        path: ['minimumCopies'],
        message: `must be at most ${mirrors.length}, the number of mirrors`,
      });
    })
    .meta({
      description: 'Each blob in every one of several stores, so that one may be lost. What one lacks is copied to it.',
      examples: [
        {
          kind: 'mirrored',
          minimumCopies: 1,
          mirrors: [
            { kind: 'disk', directory: '/disks/1/blobs' },
            { kind: 'remote', endpoint: 'grpc://10.0.0.7:50051' },
          ],
        },
      ],
    });
}
