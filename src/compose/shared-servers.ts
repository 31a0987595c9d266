import { S3Objects } from '../adapters/s3/s3-objects.ts';
import type { S3ServerConfiguration } from '../adapters/s3/s3-server-configuration.ts';
import { type RedisServerConfiguration, redisConnectionOptions } from '../adapters/state/redis/redis-configuration.ts';
import { RedisConnection } from '../adapters/state/redis/redis-connection.ts';
import { RedisEntries } from '../adapters/state/redis/redis-entries.ts';
import type { RedisPurpose } from '../adapters/state/redis/server-check.ts';
import type { IdGenerator, Random } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import { readTlsFiles } from '../lib/tls-files.ts';

/** Requests to the S3 server of a configuration. @throws TlsFilesError. */
export async function openS3(configuration: S3ServerConfiguration): Promise<S3Objects> {
  const { authorities } = await readTlsFiles(configuration.tls ?? {});
  return S3Objects.open(configuration, authorities);
}

/** What a connection to Redis stands on. */
export interface RedisDependencies {
  readonly ids: IdGenerator;
  readonly random: Random;
  readonly logger: Logger;
}

/** A connection of its own to the Redis of a configuration, made: a cache that waits for Redis would serve nobody. */
export async function openRedis(
  configuration: RedisServerConfiguration,
  purpose: RedisPurpose,
  { ids, random, logger }: RedisDependencies,
  signal: AbortSignal,
): Promise<RedisConnection> {
  const connection = new RedisConnection({
    ...(await redisConnectionOptions(configuration)),
    connectionName: `warren storage ${ids.uuid()}`,
    purpose,
    random,
    logger: logger.child({ component: 'redis' }),
  });
  await connection.start(signal);
  return connection;
}

/** The entries of a cache in Redis. @param kind what they are, for their keys. */
export function redisEntries(
  connection: RedisConnection,
  configuration: RedisServerConfiguration & { readonly unusedSeconds: number },
  kind: 'blob' | 'result',
): RedisEntries {
  const { keyPrefix, unusedSeconds } = configuration;
  return new RedisEntries({
    connection,
    prefix: `${keyPrefix}${kind}:`,
    unusedMilliseconds: unusedSeconds === 0 ? undefined : Math.ceil(unusedSeconds * 1_000),
  });
}
