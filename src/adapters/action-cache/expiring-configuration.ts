import { z } from 'zod';

const ownShape = {
  kind: z.literal('expiring'),
  maximumAgeSeconds: z
    .number()
    .positive()
    .describe('How long a result is served after it was stored, in seconds, however often it is used. Has no default.'),
};

export interface ExpiringActionCacheConfiguration<Store> extends z.output<z.ZodObject<typeof ownShape>> {
  readonly store: Store;
}

/** Configuration of an action cache that forgets what is old. @param store the schema of any action cache. */
export function expiringActionCacheSchema<Store>(store: z.ZodType<Store>) {
  return z
    .strictObject({
      ...ownShape,
      store: store.describe(
        'The one that keeps the results; not another server, which drops their age. Has no default.',
      ),
    })
    .meta({
      description:
        'Results that are older count as missing, and their actions run again: for tools that are not wholly described ' +
        'by their inputs. What was stored before this was configured counts as old.',
      examples: [
        {
          kind: 'expiring',
          maximumAgeSeconds: 604_800,
          store: { kind: 'disk', directory: '/var/lib/warren/action-cache' },
        },
      ],
    });
}
