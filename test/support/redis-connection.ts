import { RedisConnection, type RedisConnectionOptions } from '../../src/adapters/state/redis/redis-connection.ts';
import { silentLogger } from '../../src/lib/log.ts';

/** A started connection to a Redis on this machine. */
export async function connectToRedis(
  port: number,
  changes: Partial<RedisConnectionOptions> = {},
  signal: AbortSignal = new AbortController().signal,
): Promise<RedisConnection> {
  const connection = new RedisConnection({
    mode: 'single',
    addresses: [{ host: '127.0.0.1', port }],
    database: 0,
    connectTimeout: 5_000,
    commandTimeout: 10_000,
    maxPending: 100_000,
    batching: 'corked',
    connectionName: 'warren-test',
    random: () => 0.5,
    logger: silentLogger,
    ...changes,
  });
  await connection.start(signal);
  return connection;
}
