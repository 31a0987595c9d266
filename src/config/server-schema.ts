import { z } from 'zod';
import { RIGHTS } from '../domain/right.ts';

const MIB = 1024 * 1024;

/** How the gRPC server meets its clients. */
export const serverSchema = z
  .strictObject({
    listen: z
      .string()
      .regex(/^(\[[0-9a-fA-F:]+\]|[^\s:]+):\d{1,5}$/, 'must be HOST:PORT, such as 127.0.0.1:50051 or [::]:50051')
      .default('127.0.0.1:50051')
      .describe('Host and port to listen on; default 127.0.0.1:50051. Port 0 takes a free one, which is logged.'),
    tls: z
      .strictObject({
        certificateFile: z
          .string()
          .min(1)
          .describe('PEM file with the certificate of this server, then those between it and its authority. Needed.'),
        privateKeyFile: z
          .string()
          .min(1)
          .describe('PEM file with the private key of that certificate, without a passphrase. Needed.'),
        clientAuthoritiesFile: z
          .string()
          .min(1)
          .optional()
          .describe(
            'PEM file with the authorities of which one must have signed the certificate of each client; others are not ' +
              'let in. Default none: clients need no certificate.',
          ),
        rereadSeconds: z
          .number()
          .min(0.1)
          .max(86_400)
          .default(60)
          .describe(
            'How often the files are read again, in seconds; default 60. What is renewed is used for new connections; ' +
              'what is broken is logged, and what was read before is kept.',
          ),
      })
      .optional()
      .describe('Encrypts what clients and bots send; default not. Then they say grpcs:// where they said grpc://.'),
    access: z
      .array(
        z.strictObject({
          names: z
            .array(z.string().min(1))
            .min(1)
            .describe(
              "Names that a client's certificate may bear: its common name, or an alternative name. `*` stands for any text.",
            ),
          rights: z
            .array(z.enum(RIGHTS))
            .min(1)
            .describe(
              '`read`: blobs, results, operations, queues, bots. `write`: blobs and logs. `update`: results of actions, ' +
                'assets. `execute`: run and cancel actions. `work`: be a bot. `operate`: pause, drain, clean, dead letters.',
            ),
        }),
      )
      .min(1)
      .optional()
      .describe(
        'Who may call what: a client has the rights of every entry that names it. Default: everyone may do everything. ' +
          'Needs tls.clientAuthoritiesFile.',
      ),
    maxReceiveMessageBytes: z
      .int()
      .min(64 * 1024)
      .max(256 * MIB)
      .default(8 * MIB)
      .describe(
        'The longest message that is taken, in bytes; default 8 MiB. Longer ones are answered RESOURCE_EXHAUSTED. ' +
          'Must exceed limits.maxBatchTotalBytes, for a batch is longer than its blobs.',
      ),
    streamWindowBytes: z
      .int()
      .min(65_535)
      .max(2 ** 31 - 1)
      .default(4 * MIB)
      .describe(
        'How much a client may send ahead on one stream, in bytes; default 4 MiB. An upload moves no more than this in ' +
          'one time there and back; each running upload may hold as much memory.',
      ),
    connectionWindowBytes: z
      .int()
      .min(65_535)
      .max(2 ** 31 - 1)
      .default(16 * MIB)
      .describe('The same for all streams of one connection together; default 16 MiB.'),
    keepaliveTimeSeconds: z
      .number()
      .positive()
      .default(60)
      .describe(
        'After how much silence a connection is tried, in seconds; default 60. Must be shorter than what load balancers ' +
          'and NATs on the way allow.',
      ),
    keepaliveTimeoutSeconds: z
      .number()
      .positive()
      .default(20)
      .describe('How long the answer to that may take before the connection counts as lost, in seconds; default 20.'),
    maxConnectionAgeSeconds: z
      .number()
      .positive()
      .optional()
      .describe(
        'After how long a connection is closed in good order, so that clients spread over new replicas; default never. ' +
          'Calls that run on it are left to end.',
      ),
    drainSeconds: z
      .number()
      .min(0)
      .default(30)
      .describe(
        'How long a stop waits for running calls and actions before it ends them, in seconds; default 30. Shorter than ' +
          'what the orchestrator waits before it kills.',
      ),
  })
  .check((context) => {
    const { access, tls } = context.value;
    if (access === undefined || tls?.clientAuthoritiesFile !== undefined) return;
    context.issues.push({
      code: 'custom',
      input: access,
      path: ['access'],
      message: 'needs tls.clientAuthoritiesFile: clients have names by their certificates alone',
    });
  })
  .prefault({});

export type ServerConfiguration = z.output<typeof serverSchema>;
