import { z } from 'zod';
import { checkRedisServer, redisServerShape } from '../state/redis/redis-configuration.ts';

const MEBIBYTE = 1024 ** 2;

const sharedSchema = z
  .strictObject({
    ...redisServerShape,
    maximumBytes: z
      .int()
      .min(MEBIBYTE)
      .default(256 * MEBIBYTE)
      .describe(
        'Greatest total size of what is kept there, in bytes; default 256 MiB. Beyond it the oldest go: what was sent of ' +
          'them has to be sent again.',
      ),
    maximumUploadBytes: z
      .int()
      .min(MEBIBYTE)
      .default(64 * MEBIBYTE)
      .describe(
        'How much of one upload is kept, in bytes; default 64 MiB. One that breaks off behind that goes on from there.',
      ),
  })
  .check(checkRedisServer);

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
    shared: sharedSchema
      .optional()
      .describe(
        'A Redis that keeps what broken-off uploads have sent, so that they may go on at any replica; default none, then ' +
          'they go on only where they began. For replicas that share their store. `expirySeconds` and ' +
          '`maximumPartialUploads` count for all of them together, and `maximumBytes` takes the place of ' +
          '`maximumPartialBytes`.',
      ),
  })
  .prefault({});

export type UploadsConfiguration = z.output<typeof uploadsSchema>;
