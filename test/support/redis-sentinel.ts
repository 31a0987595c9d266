import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { freePort } from './free-port.ts';
import { RedisServer } from './redis-server.ts';
import { removeFolder, ThrowawayProcess, temporaryFolder } from './throwaway-process.ts';

const READY_WITHIN_MS = 30_000;

/** A primary, its replica, and one Sentinel that makes the replica primary when the primary is gone for a second. */
export class SentinelGroup implements AsyncDisposable {
  readonly name = 'farm';
  readonly port: number;
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly #sentinel: ThrowawayProcess;
  readonly #folder: string;

  private constructor(
    port: number,
    folder: string,
    sentinel: ThrowawayProcess,
    servers: { readonly primary: RedisServer; readonly replica: RedisServer },
  ) {
    this.port = port;
    this.#folder = folder;
    this.#sentinel = sentinel;
    this.primary = servers.primary;
    this.replica = servers.replica;
  }

  static async start(): Promise<SentinelGroup> {
    const primary = await RedisServer.start();
    const replica = await RedisServer.start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } });
    const folder = await temporaryFolder('sentinel');
    const port = await freePort();
    // Sentinel keeps what it learns in its own configuration file.
    const file = join(folder, 'sentinel.conf');
    await writeFile(
      file,
      [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${folder}`,
        `sentinel monitor farm 127.0.0.1 ${primary.port} 1`,
        'sentinel down-after-milliseconds farm 1000',
        'sentinel failover-timeout farm 5000',
        '',
      ].join('\n'),
    );
    const sentinel = new ThrowawayProcess({
      name: 'redis-sentinel',
      command: 'redis-server',
      args: [file, '--sentinel'],
      ready: () => knowsReplica(port),
    });
    const group = new SentinelGroup(port, folder, sentinel, { primary, replica });
    try {
      await waitForReplica(replica.port);
      await sentinel.start();
    } catch (cause) {
      await group[Symbol.asyncDispose]();
      throw cause;
    }
    return group;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sentinel.stop('SIGKILL');
    await removeFolder(this.#folder);
    await this.replica[Symbol.asyncDispose]();
    await this.primary[Symbol.asyncDispose]();
  }
}

async function knowsReplica(port: number): Promise<boolean> {
  const client = new Redis({ host: '127.0.0.1', port, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on('error', () => {});
  try {
    const replicas = (await client.call('SENTINEL', 'replicas', 'farm')) as unknown[];
    return replicas.length === 1 && !JSON.stringify(replicas).includes('disconnected');
  } finally {
    client.disconnect();
  }
}

async function waitForReplica(port: number): Promise<void> {
  const client = new Redis({ host: '127.0.0.1', port });
  try {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await client.info('replication')).includes('master_link_status:up')) {
      if (Date.now() > deadline) throw new Error('the replica did not follow its primary');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  } finally {
    client.disconnect();
  }
}
