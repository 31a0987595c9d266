import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startCompiled } from '../../test/support/program.ts';
import { RabbitmqServer } from '../../test/support/rabbitmq-server.ts';
import { RedisServer } from '../../test/support/redis-server.ts';
import { type RunningServer, startServe } from '../../test/support/serve.ts';
import { removeFolder, temporaryFolder } from '../../test/support/throwaway-process.ts';
import type { BenchOptions } from './scenario.ts';
import { ProcessMeter, profileArgs, Server } from './server.ts';

/** What a farm's replicas have asked of Redis and RabbitMQ since both were started. */
export interface FarmCalls {
  /** Scripts run by Redis. What a script calls in turn is not counted. */
  readonly redisCalls: number;
  /** Messages that RabbitMQ took. */
  readonly publishes: number;
  /** Messages that RabbitMQ delivered, to consumers and to single gets. */
  readonly deliveries: number;
  /** Single gets that found nothing. */
  readonly emptyGets: number;
  readonly acknowledgements: number;
}

interface FarmParts {
  readonly replicas: readonly RunningServer[];
  readonly redis: RedisServer;
  readonly rabbitmq: RabbitmqServer;
  readonly rabbitmqPid: number;
}

/** Replicas of all roles with a Redis, a RabbitMQ and a storage server of their own. */
export class Farm {
  /** The replicas alone. */
  readonly server: Server;
  readonly redis: ProcessMeter;
  readonly rabbitmq: ProcessMeter;
  readonly #rabbitmqServer: RabbitmqServer;
  readonly #redisClient: Redis;

  private constructor({ replicas, redis, rabbitmq, rabbitmqPid }: FarmParts, stop: () => Promise<void>) {
    const addresses = replicas.map((each) => each.address);
    const pids = replicas.map((each) => each.pid);
    this.redis = new ProcessMeter([redis.process.pid ?? 0]);
    this.rabbitmq = new ProcessMeter([rabbitmqPid]);
    this.#rabbitmqServer = rabbitmq;
    this.#redisClient = new Redis(redis.port, '127.0.0.1');
    this.server = new Server(addresses, pids, async () => {
      this.#redisClient.disconnect();
      await stop();
    });
  }

  /** @param settings of the replicas, beside where Redis, RabbitMQ and the storage are. */
  static async start(replicaCount: number, options: BenchOptions, settings: object = {}): Promise<Farm> {
    const closers: Array<() => Promise<unknown>> = [];
    const stop = async () => {
      for (const close of closers.splice(0).reverse()) await close();
    };
    try {
      const folder = await temporaryFolder('bench-farm');
      closers.push(() => removeFolder(folder));
      const redis = await RedisServer.start();
      closers.push(() => redis[Symbol.asyncDispose]());
      const rabbitmq = await RabbitmqServer.start();
      closers.push(() => rabbitmq[Symbol.asyncDispose]());
      const rabbitmqPid = Number(/\d+/.exec(await rabbitmq.control('eval', 'os:getpid().'))?.[0]);
      const serve = async (name: string, configuration: object) => {
        const nodeArgs = name === 'storage' ? [] : profileArgs(options);
        const server = await startServe(folder, name, configuration, (args) => startCompiled(nodeArgs, args));
        closers.push(() => server.stop());
        return server;
      };
      const storage = await serve('storage', {
        roles: ['cas', 'action-cache'],
        blobs: { kind: 'disk', directory: join(folder, 'blobs') },
        actionCache: { kind: 'disk', directory: join(folder, 'action-cache') },
      });
      const remote = { kind: 'remote', endpoint: `grpc://${storage.address}` };
      const replicas: RunningServer[] = [];
      for (let i = 0; i < replicaCount; i += 1) {
        const replica = await serve(`replica-${i + 1}`, {
          blobs: { kind: 'tiered', fast: { kind: 'memory' }, slow: remote },
          actionCache: remote,
          redis: { addresses: [`127.0.0.1:${redis.port}`] },
          rabbitmq: { addresses: [`127.0.0.1:${rabbitmq.port}`] },
          ...settings,
        });
        replicas.push(replica);
      }
      return new Farm({ replicas, redis, rabbitmq, rabbitmqPid }, stop);
    } catch (cause) {
      await stop();
      throw cause;
    }
  }

  /** Takes a second: RabbitMQ's tool is a machine of its own. */
  async calls(): Promise<FarmCalls> {
    const stats = await this.#redisClient.info('commandstats');
    const scripts = [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].map((match) => Number(match[1]));
    const counters = await this.#rabbitmqServer.control('eval', 'rabbit_global_counters:overview().');
    const total = (name: string) => {
      const values = [...counters.matchAll(new RegExp(`\\b${name} => (\\d+)`, 'g'))].map((match) => Number(match[1]));
      return values.reduce((sum, each) => sum + each, 0);
    };
    return {
      redisCalls: scripts.reduce((sum, each) => sum + each, 0),
      publishes: total('messages_received_total'),
      deliveries: total('messages_delivered_total'),
      emptyGets: total('messages_get_empty_total'),
      acknowledgements: total('messages_acknowledged_total'),
    };
  }

  /** Bytes that Redis holds. */
  async redisBytes(): Promise<number> {
    return Number(/used_memory:(\d+)/.exec(await this.#redisClient.info('memory'))?.[1]);
  }
}
