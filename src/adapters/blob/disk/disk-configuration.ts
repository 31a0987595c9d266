import { z } from 'zod';

const GIBIBYTE = 1024 ** 3;

/** What stores that evict have in common. */
export const evictionShape = {
  maximumCount: z
    .int()
    .min(1)
    .optional()
    .describe(
      'Greatest number of entries, uploads under way included; default none. Eviction and refusal are as with ' +
        'maximumSizeBytes, whichever is reached first.',
    ),
  highWatermark: z
    .number()
    .gt(0)
    .max(1)
    .default(0.95)
    .describe('Part of maximumSizeBytes and of maximumCount at which cleaning begins in the background; default 0.95.'),
  lowWatermark: z
    .number()
    .gt(0)
    .max(1)
    .default(0.85)
    .describe(
      'Part of them down to which it cleans, the least recently used first; default 0.85. Closer to highWatermark, it ' +
        'cleans more often and less at a time.',
    ),
  minimumAgeSeconds: z
    .number()
    .min(0)
    .default(60)
    .describe(
      'What was used within so many seconds is not evicted; default 60. Longer protects what builds are using now, but ' +
        'when everything is younger than this, uploads are refused with RESOURCE_EXHAUSTED.',
    ),
};

/** What stores on disk have in common, blobs and action cache alike. */
export const diskStoreShape = {
  kind: z.literal('disk'),
  directory: z
    .string()
    .min(1)
    .describe(
      'Folder of this store alone; made where it is not there. Has no default. A second process that opens it is refused.',
    ),
  ...evictionShape,
  durability: z
    .enum(['none', 'sync'])
    .default('none')
    .describe(
      '`none`, the default: what was acknowledged survives the end of the process, however it ends, and may be lost when ' +
        'the machine loses power. `sync`: it survives that too; writers share one fdatasync, so that each waits for the ' +
        'disk, some milliseconds. Whatever happens, damaged bytes are noticed and never served.',
    ),
  openFiles: z.int().min(4).default(512).describe('How many files are held open for reading at most; default 512.'),
};

/** Configuration of blobs on disk. */
export const diskBlobStoreSchema = z
  .strictObject({
    ...diskStoreShape,
    maximumSizeBytes: z
      .int()
      .min(1024 * 1024)
      .default(20 * GIBIBYTE)
      .describe(
        'Greatest size of the folder in bytes, uploads under way included; default 20 GiB. Uploads for which no room ' +
          'can be made are refused with RESOURCE_EXHAUSTED.',
      ),
    smallBlobBytes: z
      .int()
      .min(0)
      .max(1024 * 1024)
      .default(128 * 1024)
      .describe(
        'Blobs up to this size are packed into segment files, larger ones get a file each; default 128 KiB, and never ' +
          'more than a quarter of a segment. May be changed at any time, for blobs stored from then on.',
      ),
    segmentBytes: z
      .int()
      .min(64 * 1024)
      .max(4 * GIBIBYTE)
      .default(64 * 1024 * 1024)
      .describe(
        'Size at which a segment file is full; default 64 MiB, and never more than a 64th of maximumSizeBytes. ' +
          'Larger ones make fewer files and more to copy for getting unused room back.',
      ),
  })
  .meta({
    description: 'Blobs in a folder of this machine: many small ones to a file, large ones a file each.',
    examples: [{ kind: 'disk', directory: '/var/lib/warren/blobs', maximumSizeBytes: 200_000_000_000 }],
  });

export type DiskBlobStoreConfiguration = z.infer<typeof diskBlobStoreSchema>;
