import { z } from 'zod';
import { diskStoreShape } from '../../blob/disk/disk-configuration.ts';

/** Configuration of an action cache on disk. */
export const diskActionCacheSchema = z
  .strictObject({
    ...diskStoreShape,
    maximumSizeBytes: z
      .int()
      .min(1024 * 1024)
      .default(1024 ** 3)
      .describe(
        'Greatest size of the folder in bytes; default 1 GiB, which is about a million results. Beyond it the least ' +
          'recently used are dropped, and their actions run again.',
      ),
  })
  .meta({
    description: 'Results of actions in a folder of this machine.',
    examples: [{ kind: 'disk', directory: '/var/lib/warren/action-cache' }],
  });

export type DiskActionCacheConfiguration = z.infer<typeof diskActionCacheSchema>;
