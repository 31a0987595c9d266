import { z } from 'zod';

/** Configuration of resumable uploads. Example: `{ expirySeconds: 3600, maximumPartialBytes: 4294967296 }`. */
export const uploadsSchema = z
  .strictObject({
    expirySeconds: z
      .number()
      .positive()
      .default(3600)
      .describe(
        'Seconds after which an upload that broke off is dropped; default 3600. A client that comes later begins anew.',
      ),
    maximumPartialBytes: z
      .int()
      .min(0)
      .default(4 * 1024 ** 3)
      .describe(
        'Greatest total size of what broken-off uploads have left, in bytes; default 4 GiB. Beyond it the oldest are ' +
          'dropped. 0 keeps none: every upload that breaks off begins anew.',
      ),
    maximumPartialUploads: z
      .int()
      .min(0)
      .default(256)
      .describe(
        'Greatest number of broken-off uploads, each of which may hold a file open; default 256. Beyond it the oldest ' +
          'are dropped.',
      ),
  })
  .prefault({});
