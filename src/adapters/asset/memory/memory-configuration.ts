import { z } from 'zod';
import { assetsShape } from '../assets-configuration.ts';

/** Configuration of assets in memory. */
export const memoryAssetsSchema = z
  .strictObject({
    kind: z.literal('memory'),
    maximumSizeBytes: z
      .int()
      .min(1024)
      .default(16 * 1024 * 1024)
      .describe(
        'Greatest total size of all entries in bytes, 256 bytes counted for each beside its content; default 16 MiB. ' +
          'Beyond it the least recently used are dropped.',
      ),
    ...assetsShape,
  })
  .meta({
    description: 'Which content URIs stand for, in the memory of the process: forgotten when it ends.',
    examples: [{ kind: 'memory', pushes: false }],
  });
