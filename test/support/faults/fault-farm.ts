import { join } from 'node:path';
import { type Program, startProgram } from '../program.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { SentinelGroup } from '../redis-sentinel.ts';
import { RedisServer } from '../redis-server.ts';
import { seededRandom } from '../seeded-random.ts';
import { TcpBalancer } from '../tcp-balancer.ts';
import { removeFolder, temporaryFolder } from '../throwaway-process.ts';
import { WireClient } from '../wire-client.ts';
import { AnsweringBot } from './answering-bot.ts';
import { FarmReplica, type FarmReplicaOptions, type FarmServices } from './farm-replica.ts';

/** The times of the farm, in seconds: short ones, so that what depends on them is seen in a test. */
export const FARM_TIMES = { lease: 4, unserved: 15 } as const;

/** How far the clocks of some replicas are off, in milliseconds. */
const MINUTES_OFF = 7 * 60_000;

const BOTS = 6;
const BOT_PROPERTIES = [['pool', 'simulated']] as const;

/** What asks for a simulated bot, and what asks for the real worker. */
export const SIMULATED_PLATFORM = { properties: [{ name: 'pool', value: 'simulated' }] };
export const WORKER_PLATFORM = { properties: [{ name: 'pool', value: 'real' }] };

/** Clients that notice within seconds that a server has fallen silent, and come back as fast. */
const PATIENCE = {
  'grpc.keepalive_time_ms': 2_000,
  'grpc.keepalive_timeout_ms': 2_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
};

export interface FaultFarmOptions {
  /** What is struck is the same for the same seed; who calls whom when is as the moment wants it. */
  readonly seed: number;
  /** Whether Redis is a primary and its replica under Sentinels, which replicas then ask. Defaults to one with a log. */
  readonly sentinel?: boolean;
}

/**
 * A whole farm in processes of its own: two replicas for clients, which have consoles and of which one is of two
 * processes, two for bots, two for logs and assets, a storage, a broker, a Redis, a real worker and simulated bots. Some
 * of its clocks are minutes off, ahead and behind.
 *
 * Under Sentinels there are none for logs and assets: what a fail-over takes from these nobody tells their clients.
 */
export class FaultFarm {
  /** For faults alone: their choices must not depend on how many calls the load has made. */
  readonly random: () => number;
  /** For clients and bots. */
  readonly loadRandom: () => number;
  readonly redis: RedisServer | SentinelGroup;
  readonly rabbitmq: RabbitmqServer;
  readonly frontends: readonly FarmReplica[];
  readonly botServers: readonly FarmReplica[];
  /** For logs and assets. */
  readonly caches: readonly FarmReplica[];
  readonly storage: FarmReplica;
  readonly clients: readonly WireClient[];
  readonly cacheClients: readonly WireClient[];
  readonly workerId = 'real';
  readonly #botClients: readonly WireClient[];
  readonly #folder: string;
  readonly #balancer: TcpBalancer;
  readonly #balancerPort: number;
  #bots: AnsweringBot[] = [];
  #worker: Program | undefined;

  private constructor(parts: {
    readonly seed: number;
    readonly redis: RedisServer | SentinelGroup;
    readonly rabbitmq: RabbitmqServer;
    readonly frontends: readonly FarmReplica[];
    readonly botServers: readonly FarmReplica[];
    readonly caches: readonly FarmReplica[];
    readonly storage: FarmReplica;
    readonly folder: string;
    readonly balancer: TcpBalancer;
    readonly balancerPort: number;
  }) {
    this.random = seededRandom(parts.seed);
    this.loadRandom = seededRandom(parts.seed + 1);
    this.redis = parts.redis;
    this.rabbitmq = parts.rabbitmq;
    this.frontends = parts.frontends;
    this.botServers = parts.botServers;
    this.caches = parts.caches;
    this.storage = parts.storage;
    this.#folder = parts.folder;
    this.#balancer = parts.balancer;
    this.#balancerPort = parts.balancerPort;
    const clientOf = ({ address }: FarmReplica) => new WireClient([address], PATIENCE);
    this.clients = this.frontends.map(clientOf);
    this.cacheClients = this.caches.map(clientOf);
    this.#botClients = this.botServers.map(clientOf);
  }

  static async start({ seed, sentinel = false }: FaultFarmOptions): Promise<FaultFarm> {
    const folder = await temporaryFolder('farm');
    const [redis, rabbitmq] = await Promise.all([
      sentinel ? SentinelGroup.start() : RedisServer.start({ appendOnly: true }),
      RabbitmqServer.start({ management: true }),
    ]);
    const storage = await FarmReplica.create({ name: 'storage', folder, configure: () => onDisk(folder) });
    const services = {
      // Sentinels name the servers themselves, past any link.
      ...(redis instanceof SentinelGroup ? {} : { redis: redis.port }),
      rabbitmq: rabbitmq.port,
      storage: storage.frontPort,
    };
    const replica = (name: string, roles: readonly string[], others: Partial<FarmReplicaOptions> = {}) => {
      const configure = (links: FarmServices) => ({
        roles: [...roles, 'cas', 'action-cache'],
        ...remoteStorage(links.storage),
        redis:
          redis instanceof SentinelGroup
            ? {
                mode: 'sentinel',
                addresses: redis.ports.map((port) => `127.0.0.1:${port}`),
                sentinelName: redis.name,
              }
            : { addresses: [`127.0.0.1:${links.redis}`] },
        rabbitmq: { addresses: [`127.0.0.1:${links.rabbitmq}`], heartbeatSeconds: 3 },
        scheduling: { leaseSeconds: FARM_TIMES.lease, unservedSeconds: FARM_TIMES.unserved, maxAttempts: 10 },
        // Nobody is to be asked for what was not pushed.
        assets: { kind: 'redis', fetch: { enabled: false } },
      });
      return FarmReplica.create({ name, folder, services, configure, ...others });
    };
    const clientRoles = ['execution', 'operations', 'console'];
    const frontends = [
      await replica('client-1', clientRoles, { hasConsole: true, processes: 2 }),
      await replica('client-2', clientRoles, { hasConsole: true, clockShift: MINUTES_OFF }),
    ];
    const botServers = [
      await replica('bots-1', ['bots'], { clockShift: -MINUTES_OFF }),
      await replica('bots-2', ['bots']),
    ];
    const cacheRoles = ['log-stream', 'asset'];
    const caches = sentinel ? [] : [await replica('cache-1', cacheRoles), await replica('cache-2', cacheRoles)];
    const balancer = new TcpBalancer(botServers.map(({ frontPort }) => frontPort));
    const balancerPort = await balancer.listen();
    const replicas = { frontends, botServers, caches, storage };
    const farm = new FaultFarm({ seed, redis, rabbitmq, ...replicas, folder, balancer, balancerPort });
    try {
      await Promise.all(farm.replicas.map((each) => each.start()));
      farm.startWorker();
      farm.startBots();
    } catch (cause) {
      await farm.close();
      throw cause;
    }
    return farm;
  }

  get replicas(): readonly FarmReplica[] {
    return [this.storage, ...this.schedulingReplicas];
  }

  /** Those that stand on Redis and RabbitMQ. */
  get schedulingReplicas(): readonly FarmReplica[] {
    return [...this.frontends, ...this.botServers, ...this.caches];
  }

  get consolePorts(): readonly number[] {
    return this.frontends.map(({ consolePort = 0 }) => consolePort);
  }

  /** On which port the Redis is that takes writes now. */
  async primaryRedisPort(): Promise<number> {
    const { redis } = this;
    return redis instanceof SentinelGroup ? (await redis.roles()).primary.port : redis.port;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)] as T;
  }

  startBots(): void {
    const random = this.loadRandom;
    for (let i = this.#bots.length; i < BOTS; i++) {
      this.#bots.push(
        new AnsweringBot({
          replicas: this.#botClients,
          properties: BOT_PROPERTIES,
          capacity: 1 + (i % 2),
          random,
          work: () => 20 + random() * 200,
        }),
      );
    }
  }

  /** So many bots are gone from one moment to the next, with what they have. */
  async loseBots(count: number): Promise<void> {
    await Promise.all(this.#bots.splice(0, count).map((each) => each.vanish()));
  }

  startWorker(): void {
    const folder = join(this.#folder, 'worker');
    this.#worker = startProgram([
      'worker',
      `--remote=grpc://127.0.0.1:${this.#balancerPort}`,
      '--slots=2',
      `--directory=${folder}`,
      '--sandbox=none',
      '--property=pool=real',
      `--bot-id=${this.workerId}`,
    ]);
  }

  /** Freezes (SIGSTOP) and wakes (SIGCONT) it; what it runs goes on. */
  signalWorker(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#worker?.kill(signal);
  }

  async endWorker(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#worker?.kill(signal);
    await this.#worker?.ended;
  }

  /** What all processes logged, for the message of a failed test. */
  get logs(): string {
    const logs = this.replicas.map(({ name, log }) => `== ${name}\n${log.split('\n').slice(-60).join('\n')}`);
    return [...logs, `== worker\n${this.#worker?.stderr().slice(-5_000) ?? ''}`].join('\n');
  }

  async close(): Promise<void> {
    await this.loseBots(this.#bots.length);
    await this.endWorker('SIGKILL');
    for (const client of [...this.clients, ...this.cacheClients, ...this.#botClients]) client.close();
    await this.#balancer.close();
    for (const replica of this.replicas) await replica.close();
    await this.rabbitmq[Symbol.asyncDispose]();
    await this.redis[Symbol.asyncDispose]();
    await removeFolder(this.#folder);
  }
}

function onDisk(folder: string): object {
  return {
    roles: ['cas', 'action-cache'],
    blobs: { kind: 'disk', directory: join(folder, 'blobs'), maximumSizeBytes: 1_000_000_000 },
    actionCache: { kind: 'disk', directory: join(folder, 'action-cache') },
  };
}

function remoteStorage(port: number): object {
  const remote = {
    kind: 'remote',
    endpoint: `grpc://127.0.0.1:${port}`,
    keepaliveTimeSeconds: 3,
    keepaliveTimeoutSeconds: 2,
  };
  return { blobs: remote, actionCache: remote };
}
