import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from './free-port.ts';
import { askRedis, offsetIn, replicationOf } from './redis-replication.ts';
import { RedisServer } from './redis-server.ts';
import { removeFolder, ThrowawayProcess, temporaryFolder } from './throwaway-process.ts';

const READY_WITHIN_MS = 30_000;

/** How many Sentinels there are, and how many must agree that the primary is gone. */
const SENTINELS = 3;
const QUORUM = 2;

/** Two servers, the first of them primary, and three Sentinels that make the other primary when it is gone for a second. */
export class SentinelGroup implements AsyncDisposable {
  readonly name = 'farm';
  /** Of the Sentinels. */
  readonly ports: readonly number[];
  readonly servers: readonly RedisServer[];
  readonly #sentinels: readonly ThrowawayProcess[];
  readonly #folder: string;

  private constructor(
    ports: readonly number[],
    folder: string,
    sentinels: readonly ThrowawayProcess[],
    servers: readonly RedisServer[],
  ) {
    this.ports = ports;
    this.#folder = folder;
    this.#sentinels = sentinels;
    this.servers = servers;
  }

  static async start(): Promise<SentinelGroup> {
    const primary = await RedisServer.start();
    const replica = await RedisServer.start({ settings: { replicaof: `127.0.0.1 ${primary.port}` } });
    const folder = await temporaryFolder('sentinel');
    const ports = await freePorts(SENTINELS);
    const sentinels: ThrowawayProcess[] = [];
    const group = new SentinelGroup(ports, folder, sentinels, [primary, replica]);
    try {
      await waitForReplica(replica.port);
      for (const port of ports) sentinels.push(await createSentinel(folder, port, primary.port));
      await Promise.all(sentinels.map((each) => each.start()));
    } catch (cause) {
      await group[Symbol.asyncDispose]();
      throw cause;
    }
    return group;
  }

  /** The server that takes writes, and the other one. @throws Error where none does. */
  async roles(): Promise<{ readonly primary: RedisServer; readonly replica: RedisServer }> {
    for (const primary of this.servers) {
      const replica = this.servers.find((each) => each !== primary);
      const replication = await replicationOf(primary.port).catch(() => '');
      if (replica !== undefined && replication.includes('role:master')) return { primary, replica };
    }
    throw new Error('no Redis is primary');
  }

  /** Resolves once the replica has all that the primary had when this was called: nothing of it is lost with the primary. */
  async untilCopied(): Promise<void> {
    const { primary, replica } = await this.roles();
    const written = offsetIn(await replicationOf(primary.port), 'master_repl_offset');
    const deadline = Date.now() + READY_WITHIN_MS;
    while (offsetIn(await replicationOf(replica.port).catch(() => ''), 'slave_repl_offset') < written) {
      if (Date.now() > deadline) throw new Error('the replica did not copy what its primary had');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Resolves once another server than this takes writes. */
  async untilReplaced(primary: RedisServer): Promise<void> {
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      const known = (await this.roles().catch(() => undefined))?.primary;
      if (known !== undefined && known !== primary) return;
      if (Date.now() > deadline) throw new Error('the Sentinels did not make another server primary');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Resolves once the server follows the primary that the Sentinels name, all that it has copied. */
  async untilFollowing(server: RedisServer): Promise<void> {
    await waitForReplica(server.port);
    // Until every Sentinel knows of it, there is nothing that the next fail-over could choose.
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await Promise.all(this.ports.map((port) => knowsReplica(port).catch(() => false)))).every(Boolean)) {
      if (Date.now() > deadline) throw new Error('the Sentinels do not know the replica');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const sentinel of this.#sentinels) await sentinel.stop('SIGKILL');
    await removeFolder(this.#folder);
    for (const server of this.servers) await server[Symbol.asyncDispose]();
  }
}

async function createSentinel(folder: string, port: number, primaryPort: number): Promise<ThrowawayProcess> {
  // Sentinel keeps what it learns in its own configuration file.
  const file = join(folder, `sentinel-${port}.conf`);
  await writeFile(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor farm 127.0.0.1 ${primaryPort} ${QUORUM}`,
      'sentinel down-after-milliseconds farm 1000',
      'sentinel failover-timeout farm 5000',
      '',
    ].join('\n'),
  );
  return new ThrowawayProcess({
    name: 'redis-sentinel',
    command: 'redis-server',
    args: [file, '--sentinel'],
    ready: async () => (await knowsReplica(port)) && (await knownSentinels(port)) === SENTINELS - 1,
  });
}

/** Whether a Sentinel knows a replica that it can reach and that may take over. */
function knowsReplica(port: number): Promise<boolean> {
  return askRedis(port, async (client) => {
    const replicas = (await client.call('SENTINEL', 'replicas', 'farm')) as string[][];
    const flags = replicas.map((each) => each[each.indexOf('flags') + 1]);
    return flags.length === 1 && flags[0] === 'slave';
  });
}

/** How many others a Sentinel has heard of. */
function knownSentinels(port: number): Promise<number> {
  return askRedis(port, async (client) => ((await client.call('SENTINEL', 'sentinels', 'farm')) as unknown[]).length);
}

async function waitForReplica(port: number): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!(await replicationOf(port).catch(() => '')).includes('master_link_status:up')) {
    if (Date.now() > deadline) throw new Error('the replica did not follow its primary');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
