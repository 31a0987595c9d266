import { z } from 'zod';
import { diskStoreShape } from '../../blob/disk/disk-configuration.ts';
import { assetsShape } from '../assets-configuration.ts';

/** Configuration of assets on disk. */
export const diskAssetsSchema = z
  .strictObject({
    ...diskStoreShape,
    maximumSizeBytes: z
      .int()
      .min(1024 * 1024)
      .default(256 * 1024 ** 2)
      .describe(
        'Greatest size of the folder in bytes; default 256 MiB, some hundred thousand assets. Beyond it the least ' +
          'recently used are dropped.',
      ),
    ...assetsShape,
  })
  .meta({
    description: 'Which content URIs stand for, in a folder of this machine.',
    examples: [{ kind: 'disk', directory: '/var/lib/warren/assets' }],
  });

export type DiskAssetsConfiguration = z.infer<typeof diskAssetsSchema>;
