import { z } from 'zod';

/** Configuration of blobs in memory. */
export const memoryBlobStoreSchema = z
  .strictObject({
    kind: z.literal('memory'),
    maximumSizeBytes: z
      .int()
      .min(1024)
      .default(256 * 1024 * 1024)
      .describe(
        'Greatest total size of all blobs in bytes; default 256 MiB. Beyond it the least recently used are dropped; a ' +
          'blob larger than this is refused with RESOURCE_EXHAUSTED.',
      ),
  })
  .meta({
    description:
      'Blobs in the memory of the process: gone when it ends. For tests, and as the fast side of a tiered store.',
    examples: [{ kind: 'memory', maximumSizeBytes: 268_435_456 }],
  });

export type MemoryBlobStoreConfiguration = z.output<typeof memoryBlobStoreSchema>;
