import { z } from 'zod';
import { authoritiesFileSchema } from '../client-tls-schema.ts';
import { isBucketTemplate } from './bucket-template.ts';

/** What every store on S3 is told: where its objects are, and how the server is convinced. */
export const s3ServerShape = {
  bucket: z
    .string()
    .refine(isBucketTemplate, 'must be the name of a bucket, in which {hash:1} or {hash:2} may stand once')
    .describe(
      'The bucket; it is never made or removed. `{hash:1}` or `{hash:2}` in it stands for so many first characters of a ' +
        'hash, and spreads the objects over 16 or 256 buckets. Has no default.',
    ),
  keyPrefix: z
    .string()
    .max(256)
    .regex(/^[\w!.*'()/-]*$/, "may hold letters, digits and !-_.*'()/")
    .default('')
    .describe(
      'Begins every key, such as `warren/`; default empty. Servers that share a bucket without it share blobs.',
    ),
  endpoint: z
    .url({ protocol: /^https?$/, hostname: /^[\w.:[\]-]+$/ })
    .optional()
    .describe(
      'The server, such as https://minio.example:9000; default that of AWS for the region. Over http whoever is on the way ' +
        'reads along.',
    ),
  region: z
    .string()
    .min(1)
    .default('us-east-1')
    .describe('The region, which goes into signatures; default us-east-1, which most other servers take, too.'),
  pathStyle: z
    .boolean()
    .optional()
    .describe(
      'Whether the bucket stands in the path instead of the name of the host; default true with an `endpoint`, as MinIO, ' +
        'Ceph and Swift need it, and false for AWS.',
    ),
  credentials: z
    .strictObject({
      accessKeyId: z.string().min(1).describe('Has no default.'),
      secretAccessKey: z.string().min(1).describe('Better a reference such as ${S3_SECRET}. Has no default.'),
      sessionToken: z.string().min(1).optional().describe('Of temporary credentials; default none.'),
    })
    .optional()
    .describe(
      'Fixed credentials; default what the AWS SDK finds: the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the files below ~/.aws, ' +
        'or the role of the container or machine.',
    ),
  tls: z
    .strictObject({
      authoritiesFile: authoritiesFileSchema,
    })
    .optional()
    .describe('Certificates; default what Node knows. Only with https.'),
  connections: z
    .int()
    .min(1)
    .max(1024)
    .default(64)
    .describe('Connections at once, and thereby requests; default 64. More than that wait.'),
  connectTimeoutSeconds: z.number().gt(0).max(300).default(5).describe('Longest time for connecting; default 5.'),
  requestTimeoutSeconds: z
    .number()
    .gt(0)
    .max(3600)
    .default(60)
    .describe(
      'Longest time for one request, waiting for a free connection not included; default 60. A part of a large blob must ' +
        'fit into it. A request that takes longer is tried again.',
    ),
  attempts: z
    .int()
    .min(1)
    .max(20)
    .default(4)
    .describe('How often a request is tried that fails for a reason that may pass; default 4. Then it is UNAVAILABLE.'),
};

export interface S3ServerConfiguration extends z.output<z.ZodObject<typeof s3ServerShape>> {}

/** What holds between the settings of an S3 server. */
export function checkS3Server(context: z.core.ParsePayload<S3ServerConfiguration>): void {
  const { endpoint, tls } = context.value;
  if (tls === undefined || endpoint?.startsWith('http:') !== true) return;
  context.issues.push({
    code: 'custom',
    input: tls,
    path: ['tls'],
    message: `certificates are of no use with '${endpoint}'; write https://`,
  });
}
