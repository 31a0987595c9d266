import { z } from 'zod';
import { checkS3Server, s3ServerShape } from '../../s3/s3-server-configuration.ts';

const MEBIBYTE = 1024 ** 2;

/** Configuration of blobs on S3. */
export const s3BlobStoreSchema = z
  .strictObject({
    kind: z.literal('s3'),
    ...s3ServerShape,
    partBytes: z
      .int()
      .min(5 * MEBIBYTE)
      .max(1024 * MEBIBYTE)
      .default(8 * MEBIBYTE)
      .describe(
        'Size of the parts in which a blob larger than this is uploaded and read, in bytes; default 8 MiB, at least 5 MiB. ' +
          'A blob has at most 10 000 parts, so that 8 MiB allow 78 GiB; larger ones are refused.',
      ),
    concurrentParts: z
      .int()
      .min(1)
      .max(64)
      .default(2)
      .describe(
        'Parts of one blob that are under way at once; default 2. Each upload and each read of a large blob holds up to one ' +
          'part more in memory.',
      ),
    unfinishedUploadSeconds: z
      .number()
      .gt(0)
      .default(86_400)
      .describe(
        'An upload in parts that has not ended after so long is dropped with all its parts, since the server that began it ' +
          'must have died; default a day. Must be longer than any upload takes. Each server looks about once in an hour.',
      ),
  })
  .check(checkS3Server)
  .meta({
    description:
      'Blobs as objects of S3 or a server that speaks its protocol, which replicas share. Nothing is evicted by itself; a ' +
      'rule of the bucket that removes objects by their age takes what is in use. Asking what is missing is a request for ' +
      'each blob: put an index or an existence cache in front.',
    examples: [
      {
        kind: 's3',
        bucket: 'build-cache',
        keyPrefix: 'warren/',
        endpoint: 'https://minio.example:9000',
        credentials: { accessKeyId: 'warren', secretAccessKey: 'from the environment' },
      },
    ],
  });

export type S3BlobStoreConfiguration = z.output<typeof s3BlobStoreSchema>;
