import { z } from 'zod';

/** Configuration of an action cache in memory. */
export const memoryActionCacheSchema = z
  .strictObject({
    kind: z.literal('memory'),
    maximumSizeBytes: z
      .int()
      .min(1024)
      .default(64 * 1024 * 1024)
      .describe(
        'Greatest total size of all entries in bytes, 256 bytes counted for each beside its content; default 64 MiB. ' +
          'Beyond it the least recently used are dropped, and their actions run again.',
      ),
  })
  .meta({
    description: 'Results of actions in the memory of the process: gone when it ends.',
    examples: [{ kind: 'memory', maximumSizeBytes: 67_108_864 }],
  });
