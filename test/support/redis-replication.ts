import { Redis } from 'ioredis';

/** What a server says of its replication. */
export function replicationOf(port: number): Promise<string> {
  return askRedis(port, (client) => client.info('replication'));
}

/** How far a server's stream of changes has come, in bytes. */
export function offsetIn(replication: string, name: string): number {
  return Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(replication)?.[1] ?? -1);
}

/** One question, within a second: a server that hangs has no answer. */
export async function askRedis<T>(port: number, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({
    host: '127.0.0.1',
    port,
    lazyConnect: true,
    retryStrategy: () => null,
    maxRetriesPerRequest: 0,
    commandTimeout: 1_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return await question(client);
  } finally {
    client.disconnect();
  }
}
