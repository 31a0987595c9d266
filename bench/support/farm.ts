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

/** In bytes. */
export interface FarmMemory {
  readonly redis: number;
  readonly rabbitmq: number;
  readonly replicas: number;
}

const MEBIBYTE = 1024 * 1024;

interface FarmParts {
  readonly replicas: readonly RunningServer[];
  readonly redis: RedisServer;
  readonly storage: RedisServer;
  readonly rabbitmq: RabbitmqServer;
  readonly rabbitmqPid: number;
}

/** Replicas of all roles with a Redis for scheduling, one for storage, and a RabbitMQ of their own. */
export class Farm {
  /** The replicas alone. */
  readonly server: Server;
  /** That of scheduling. */
  readonly redis: ProcessMeter;
  /** The Redis that keeps blobs and results. */
  readonly storage: ProcessMeter;
  readonly rabbitmq: ProcessMeter;
  readonly #rabbitmqServer: RabbitmqServer;
  readonly #redisClient: Redis;

  private constructor({ replicas, redis, storage, rabbitmq, rabbitmqPid }: FarmParts, stop: () => Promise<void>) {
    const addresses = replicas.map((each) => each.address);
    const pids = replicas.map((each) => each.pid);
    this.redis = new ProcessMeter([redis.process.pid ?? 0]);
    this.storage = new ProcessMeter([storage.process.pid ?? 0]);
    this.rabbitmq = new ProcessMeter([rabbitmqPid]);
    this.#rabbitmqServer = rabbitmq;
    this.#redisClient = new Redis(redis.port, '127.0.0.1');
    this.server = new Server(addresses, pids, async () => {
      this.#redisClient.disconnect();
      await stop();
    });
  }

  /** @param settings of the replicas, beside where Redis and RabbitMQ are. */
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
      const storage = await RedisServer.start();
      closers.push(() => storage[Symbol.asyncDispose]());
      const rabbitmq = await RabbitmqServer.start();
      closers.push(() => rabbitmq[Symbol.asyncDispose]());
      const rabbitmqPid = Number(/\d+/.exec(await rabbitmq.control('eval', 'os:getpid().'))?.[0]);
      const stored = { kind: 'redis', addresses: [`127.0.0.1:${storage.port}`] };
      // Little memory, so that a replica's size tells of scheduling.
      const fast = { kind: 'memory', maximumSizeBytes: 4 * MEBIBYTE };
      const tiered = { kind: 'tiered', fast, slow: stored };
      const configuration = {
        blobs: { kind: 'existence-cache', maximumEntries: 10_000, store: tiered },
        actionCache: stored,
        redis: { addresses: [`127.0.0.1:${redis.port}`] },
        rabbitmq: { addresses: [`127.0.0.1:${rabbitmq.port}`] },
        ...settings,
      };
      const start = (args: readonly string[]) => startCompiled(profileArgs(options), args);
      const replicas: RunningServer[] = [];
      for (let i = 1; i <= replicaCount; i += 1) {
        const replica = await startServe(folder, `replica-${i}`, configuration, start);
        closers.push(() => replica.stop());
        replicas.push(replica);
      }
      return new Farm({ replicas, redis, storage, rabbitmq, rabbitmqPid }, stop);
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

  /** Bytes that each of them holds now: the Redis of scheduling, RabbitMQ, and the replicas' resident sizes. */
  async memory(): Promise<FarmMemory> {
    const redis = /used_memory:(\d+)/.exec(await this.#redisClient.info('memory'))?.[1];
    const rabbitmq = await this.#rabbitmqServer.control('eval', 'erlang:garbage_collect(), erlang:memory(total).');
    return {
      redis: Number(redis),
      rabbitmq: Number(/\d+/.exec(rabbitmq)?.[0]),
      replicas: this.server.residentMebibytes() * MEBIBYTE,
    };
  }
}
