import { z } from 'zod';
import { checkS3Server, s3ServerShape } from '../../s3/s3-server-configuration.ts';

/** Configuration of an action cache on S3. */
export const s3ActionCacheSchema = z
  .strictObject({ kind: z.literal('s3'), ...s3ServerShape })
  .check(checkS3Server)
  .meta({
    description:
      'Results of actions as objects of S3, which replicas share. A rule of the bucket that removes objects by their age ' +
      'bounds it: a result that is gone is a miss.',
    examples: [
      { kind: 's3', bucket: 'build-results', keyPrefix: 'warren/', region: 'eu-central-1' },
      { kind: 's3', bucket: 'results-{hash:1}', endpoint: 'http://127.0.0.1:9000', pathStyle: true },
    ],
  });
