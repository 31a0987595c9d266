import { Redis } from 'ioredis';
import { freePorts } from './free-port.ts';
import { RedisServer } from './redis-server.ts';

const NODES = 3;
const SLOTS = 16_384;
const READY_WITHIN_MS = 30_000;

/** A Redis Cluster of the test's own: three nodes with a third of the slots each, without replicas. */
export class RedisCluster implements AsyncDisposable {
  readonly nodes: readonly RedisServer[];

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes;
  }

  get addresses(): ReadonlyArray<{ readonly host: string; readonly port: number }> {
    return this.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  static async start(): Promise<RedisCluster> {
    const nodes: RedisServer[] = [];
    const cluster = new RedisCluster(nodes);
    // The default port of the bus, 10 000 above, need not be free, nor be one.
    const busPorts = await freePorts(NODES);
    for (const busPort of busPorts) {
      nodes.push(
        await RedisServer.start({
          settings: { 'cluster-enabled': 'yes', 'cluster-port': String(busPort), 'cluster-node-timeout': '5000' },
        }),
      );
    }
    const clients = nodes.map(({ port }) => new Redis({ host: '127.0.0.1', port }));
    try {
      for (const [i, client] of clients.entries()) {
        const first = Math.floor((SLOTS * i) / NODES);
        const last = Math.floor((SLOTS * (i + 1)) / NODES) - 1;
        await client.call('CLUSTER', 'ADDSLOTSRANGE', first, last);
        await client.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0]?.port ?? 0, busPorts[0] ?? 0);
      }
      const deadline = Date.now() + READY_WITHIN_MS;
      for (const client of clients) {
        while (!String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) {
          if (Date.now() > deadline) throw new Error('the nodes did not become a cluster');
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    } catch (cause) {
      await cluster[Symbol.asyncDispose]();
      throw cause;
    } finally {
      for (const client of clients) client.disconnect();
    }
    return cluster;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
  }
}
