import { Redis } from 'ioredis';
import { freePorts } from './free-port.ts';
import { offsetIn, replicationOf } from './redis-replication.ts';
import { RedisServer } from './redis-server.ts';

const NODES = 3;
const SLOTS = 16_384;
const READY_WITHIN_MS = 30_000;

/** After this time without a word the others take a node for gone, in milliseconds. */
const NODE_TIMEOUT_MS = 5_000;

export interface RedisClusterOptions {
  /** Whether the first node has a replica, which takes its place when it is gone. Defaults to false. */
  readonly replica?: boolean;
}

/** A Redis Cluster of the test's own: three nodes with a third of the slots each. */
export class RedisCluster implements AsyncDisposable {
  /** Those that have slots. */
  readonly nodes: readonly RedisServer[];
  /** Of the first node. */
  readonly replica: RedisServer | undefined;

  private constructor(nodes: readonly RedisServer[], replica: RedisServer | undefined) {
    this.nodes = nodes;
    this.replica = replica;
  }

  get addresses(): ReadonlyArray<{ readonly host: string; readonly port: number }> {
    return this.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  static async start(options: RedisClusterOptions = {}): Promise<RedisCluster> {
    const servers: RedisServer[] = [];
    // The default port of the bus, 10 000 above, need not be free, nor be one.
    const busPorts = await freePorts(NODES + (options.replica === true ? 1 : 0));
    for (const busPort of busPorts) {
      servers.push(
        await RedisServer.start({
          settings: {
            'cluster-enabled': 'yes',
            'cluster-port': String(busPort),
            'cluster-node-timeout': String(NODE_TIMEOUT_MS),
          },
        }),
      );
    }
    const cluster = new RedisCluster(servers.slice(0, NODES), servers[NODES]);
    const clients = servers.map(({ port }) => new Redis({ host: '127.0.0.1', port }));
    try {
      for (const [i, client] of clients.entries()) {
        const first = Math.floor((SLOTS * i) / NODES);
        const last = Math.floor((SLOTS * (i + 1)) / NODES) - 1;
        if (i < NODES) await client.call('CLUSTER', 'ADDSLOTSRANGE', first, last);
        await client.call('CLUSTER', 'MEET', '127.0.0.1', servers[0]?.port ?? 0, busPorts[0] ?? 0);
      }
      for (const client of clients) {
        await until('the nodes are a cluster', async () =>
          String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
        );
      }
      const [first] = clients;
      const last = clients[NODES];
      if (first !== undefined && last !== undefined) await replicate(first, last, clients);
    } catch (cause) {
      await cluster[Symbol.asyncDispose]();
      throw cause;
    } finally {
      for (const client of clients) client.disconnect();
    }
    return cluster;
  }

  /** Resolves once the replica has all that the first node had when this was called: nothing of it is lost with the node. */
  async untilCopied(): Promise<void> {
    const { nodes, replica } = this;
    const written = offsetIn(await replicationOf(nodes[0]?.port ?? 0), 'master_repl_offset');
    await until(
      'the replica has copied what its primary had',
      async () => offsetIn(await replicationOf(replica?.port ?? 0), 'slave_repl_offset') >= written,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of [...this.nodes, ...(this.replica === undefined ? [] : [this.replica])]) {
      await node[Symbol.asyncDispose]();
    }
  }
}

/** Makes one node another's replica, which all others know of: their votes make it primary. */
async function replicate(primary: Redis, replica: Redis, all: readonly Redis[]): Promise<void> {
  const id = String(await primary.call('CLUSTER', 'MYID'));
  await until('the nodes know each other', async () => String(await replica.call('CLUSTER', 'NODES')).includes(id));
  await replica.call('CLUSTER', 'REPLICATE', id);
  await until('the replica follows', async () => (await replica.info('replication')).includes('master_link_status:up'));
  for (const node of all) {
    await until('the nodes know of the replica', async () =>
      new RegExp(`slave ${id} `).test(String(await node.call('CLUSTER', 'NODES'))),
    );
  }
}

async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!(await check().catch(() => false))) {
    if (Date.now() > deadline) throw new Error(`in vain it was waited until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
