import type { ConnectionOptions } from 'node:tls';
import { z } from 'zod';
import { readTlsFiles } from '../../../lib/tls-files.ts';
import { checkClientTls, clientTlsShape, serverNameSchema } from '../../client-tls-schema.ts';
import type { RedisAddress } from './redis-address.ts';
import type { RedisConnectionOptions } from './redis-connection.ts';

const ADDRESS = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]]+))(?::([0-9]{1,5}))?$/;
const DEFAULT_PORT = 6379;
const MEBIBYTE = 1024 ** 2;

/** What everything that stands on a Redis is told of it. */
export const redisServerShape = {
  mode: z
    .enum(['single', 'sentinel', 'cluster'])
    .default('single')
    .describe(
      '`single`, the default: the first address is the server. `sentinel`: the addresses are Sentinels, and another ' +
        'primary is found when the one in use fails. `cluster`: the addresses are some nodes of a Redis Cluster.',
    ),
  addresses: z
    .array(z.string().regex(ADDRESS, 'must be host, host:port or [IPv6 address]:port'))
    .min(1)
    .default(['127.0.0.1:6379'])
    .describe('`host:port` each; default 127.0.0.1:6379.'),
  sentinelName: z
    .string()
    .min(1)
    .optional()
    .describe('The name under which the Sentinels know the primary; needed in mode sentinel, default none.'),
  sentinelPassword: z.string().min(1).optional().describe('Password of the Sentinels themselves; default none.'),
  username: z.string().min(1).optional().describe("User of Redis' access control list; default its default user."),
  password: z.string().min(1).optional().describe('Password; default none.'),
  database: z
    .int()
    .min(0)
    .max(65_535)
    .default(0)
    .describe('Number of the logical database; default 0, the only one that a cluster has.'),
  keyPrefix: z
    .string()
    .regex(/^[^{}\s]*$/, 'must hold neither braces nor white space')
    .default('warren:')
    .describe('Begins every key; default `warren:`. Farms that share a Redis need different ones.'),
  tls: z
    .strictObject({ ...clientTlsShape, serverName: serverNameSchema })
    .check(checkClientTls)
    .optional()
    .describe(
      'Encrypts the connection; default plain. `{}` is enough where the certificate is signed by a public authority.',
    ),
  batching: z
    .enum(['corked', 'pipelined', 'separate'])
    .default('corked')
    .describe(
      'What becomes of calls that are made at the same moment. `corked`, the default: they leave in one write. ' +
        '`pipelined`: the client library makes one batch of them. `separate`: each is written by itself.',
    ),
  connectTimeoutSeconds: z.number().gt(0).max(300).default(5).describe('Longest time for connecting; default 5.'),
  callTimeoutSeconds: z
    .number()
    .gt(0)
    .max(300)
    .default(10)
    .describe(
      'Longest time for one call, waiting for a reconnect included; default 10. Then callers get UNAVAILABLE and come ' +
        'again. Shorter than a fail-over takes, each fail-over shows as errors.',
    ),
  maxPendingCalls: z
    .int()
    .min(1_000)
    .default(50_000)
    .describe('Calls under way at once; default 50 000. Beyond, callers get UNAVAILABLE at once.'),
};

export interface RedisServerConfiguration extends z.output<z.ZodObject<typeof redisServerShape>> {}

/** What holds between the settings of a Redis. */
export function checkRedisServer(context: z.core.ParsePayload<RedisServerConfiguration>): void {
  const { mode, sentinelName, database } = context.value;
  const refuse = (path: string, message: string) =>
    context.issues.push({ code: 'custom', input: context.value, path: [path], message });
  if (mode === 'sentinel' && sentinelName === undefined) refuse('sentinelName', 'is needed in mode sentinel');
  if (mode === 'cluster' && database !== 0) refuse('database', 'must be 0 in mode cluster');
}

/** Configuration of Redis. Example: `{ addresses: ["redis.example:6379"], password: "${REDIS_PASSWORD}" }`. */
export const redisSchema = z
  .strictObject({
    ...redisServerShape,
    maxUnfinishedJobs: z
      .int()
      .min(256)
      .default(2_000_000)
      .describe(
        'Jobs that wait or run at once; default 2 000 000. Beyond, Execute gets RESOURCE_EXHAUSTED. Kept for each of 256 ' +
          'shards, over which actions spread by their hash.',
      ),
    maxFinishedJobs: z
      .int()
      .min(256)
      .default(50_000)
      .describe(
        'Finished jobs that WaitExecution and ListOperations still know; default 50 000. Then the oldest go before their ' +
          'time. Kept for each of 256 shards.',
      ),
    maxFinishedBytes: z
      .int()
      .min(MEBIBYTE)
      .default(256 * MEBIBYTE)
      .describe('Bytes of answers that are kept with them; default 256 MiB.'),
    maxBotSessions: z
      .int()
      .min(1)
      .default(100_000)
      .describe('Bots of one instance at once; default 100 000. Beyond, they are refused with RESOURCE_EXHAUSTED.'),
  })
  .check(checkRedisServer)
  .describe('Redis, which holds what is true of jobs and bots.');

/**
 * What a connection needs of the configuration, its certificates read.
 *
 * @throws TlsFilesError.
 */
export async function redisConnectionOptions(
  configuration: RedisServerConfiguration,
): Promise<Omit<RedisConnectionOptions, 'connectionName' | 'purpose' | 'random' | 'logger'>> {
  return {
    mode: configuration.mode,
    addresses: configuration.addresses.map(parseAddress),
    sentinelName: configuration.sentinelName,
    sentinelPassword: configuration.sentinelPassword,
    username: configuration.username,
    password: configuration.password,
    database: configuration.database,
    tls: await readTls(configuration.tls),
    connectTimeout: configuration.connectTimeoutSeconds * 1_000,
    commandTimeout: configuration.callTimeoutSeconds * 1_000,
    maxPending: configuration.maxPendingCalls,
    batching: configuration.batching,
  };
}

async function readTls(tls: RedisServerConfiguration['tls']): Promise<ConnectionOptions | undefined> {
  if (tls === undefined) return undefined;
  const { authorities, certificate, privateKey } = await readTlsFiles(tls);
  const { serverName } = tls;
  return {
    ...(authorities === undefined ? {} : { ca: authorities }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(privateKey === undefined ? {} : { key: privateKey }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
}

function parseAddress(text: string): RedisAddress {
  const [, ipv6, host, port] = ADDRESS.exec(text) ?? [];
  return { host: ipv6 ?? host ?? text, port: port === undefined ? DEFAULT_PORT : Number(port) };
}
