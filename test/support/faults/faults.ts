import { type Channel, connect } from 'amqplib';
import { Redis } from 'ioredis';
import type { DelayingProxy } from '../delaying-proxy.ts';
import { SentinelGroup } from '../redis-sentinel.ts';
import type { FarmReplica } from './farm-replica.ts';
import { FARM_TIMES, type FaultFarm } from './fault-farm.ts';

/** Something that goes wrong in a farm. */
export interface Fault {
  readonly name: string;
  /**
   * Milliseconds within which every action has its answer that a client begins before, in or after it: the time that it
   * lasts, what the farm needs to notice, and the time that the slowest machine needs for the rest. docs/operating-faults.md
   * has what is behind each.
   */
  readonly bound: number;
  /**
   * What may be gone afterwards: what Redis took last, as in a fail-over to a lagging replica, or results that were to be
   * cached while the storage was away, which their clients have all the same. Defaults to nothing.
   */
  readonly forgets?: 'operations' | 'cached results';
  /** Does it, and mends it. */
  strike(farm: FaultFarm): Promise<void>;
}

/** How long a link or a service is away. */
const AWAY_MS = 3_000;

/** Longer than a lease and a session last. */
const FROZEN_MS = FARM_TIMES.lease * 1_000 + 3_000;

/** What is slow takes so long, each way. */
const SLOW_MS = 250;

/** What the processes of a farm need to start on a machine that does much else. */
const STARTING_MS = 60_000;

function seconds(count: number): number {
  return count * 1_000;
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

const REPLICAS = [
  { kind: 'replica for clients', of: (farm: FaultFarm) => farm.pick(farm.frontends) },
  { kind: 'replica for bots', of: (farm: FaultFarm) => farm.pick(farm.botServers) },
] as const;

/** Between whom a link lies, and which it is. */
const LINKS = [
  { between: 'clients and a replica', of: (farm: FaultFarm) => farm.pick(farm.frontends).front },
  { between: 'bots and a replica', of: (farm: FaultFarm) => farm.pick(farm.botServers).front },
  { between: 'a replica and Redis', of: (farm: FaultFarm) => farm.pick(farm.schedulingReplicas).redisLink },
  { between: 'a replica and RabbitMQ', of: (farm: FaultFarm) => farm.pick(farm.schedulingReplicas).rabbitmqLink },
] as const;

const replicas: readonly Fault[] = [
  ...REPLICAS.map(({ kind, of }) => ({
    name: `kill -9 of a ${kind}`,
    bound: STARTING_MS,
    strike: (farm: FaultFarm) => restart(of(farm), (replica) => replica.kill()),
  })),
  ...REPLICAS.map(({ kind, of }) => ({
    name: `SIGTERM of a ${kind}`,
    bound: STARTING_MS,
    strike: (farm: FaultFarm) => restart(of(farm), (replica) => replica.terminate()),
  })),
  ...REPLICAS.map(({ kind, of }) => ({
    name: `a ${kind} frozen past its leases, and woken`,
    bound: FROZEN_MS + seconds(60),
    async strike(farm: FaultFarm) {
      const replica = of(farm);
      replica.freeze();
      await pause(FROZEN_MS);
      replica.wake();
    },
  })),
];

const storage: Fault = {
  name: 'kill -9 of the storage',
  bound: STARTING_MS,
  forgets: 'cached results',
  strike: (farm) => restart(farm.storage, (replica) => replica.kill()),
};

const workers: readonly Fault[] = [
  ...(['SIGKILL', 'SIGTERM'] as const).map((signal) => ({
    name: `${signal} of the worker`,
    bound: STARTING_MS + seconds(FARM_TIMES.lease + 2),
    async strike(farm: FaultFarm) {
      await farm.endWorker(signal);
      farm.startWorker();
    },
  })),
  {
    name: 'half of the bots gone with what they have',
    bound: seconds(60 + FARM_TIMES.lease + 2),
    async strike(farm) {
      await farm.loseBots(3);
      farm.startBots();
    },
  },
];

const broker: readonly Fault[] = [
  {
    name: 'RabbitMQ restarted',
    bound: STARTING_MS + seconds(60),
    async strike(farm) {
      await farm.rabbitmq.control('stop');
      await farm.rabbitmq.process.stop();
      await farm.rabbitmq.process.start();
    },
  },
  {
    name: 'kill -9 of RabbitMQ',
    bound: STARTING_MS + seconds(60),
    async strike(farm) {
      await farm.rabbitmq.kill();
      await farm.rabbitmq.process.start();
    },
  },
  {
    name: 'every connection closed by RabbitMQ',
    bound: seconds(60),
    async strike(farm) {
      await farm.rabbitmq.control('close_all_connections', 'a fault');
    },
  },
  {
    name: 'work queues purged',
    bound: seconds(FARM_TIMES.unserved + 60),
    strike: (farm) => whileWorkPilesUp(farm, (channel, queue) => channel.purgeQueue(queue)),
  },
  {
    name: 'work queues deleted',
    bound: seconds(FARM_TIMES.unserved + 60),
    strike: (farm) => whileWorkPilesUp(farm, (channel, queue) => channel.deleteQueue(queue)),
  },
];

const redis: readonly Fault[] = [
  {
    name: 'Redis killed and started again on its append-only file',
    bound: STARTING_MS + seconds(15),
    async strike({ redis }) {
      if (redis instanceof SentinelGroup) throw new Error('this farm fails over instead');
      await redis.process.stop('SIGKILL');
      await redis.process.start();
    },
  },
  {
    name: 'Redis paused',
    bound: AWAY_MS + seconds(60),
    async strike(farm) {
      for (const port of farm.redisPorts) {
        const client = new Redis({ host: '127.0.0.1', port });
        await client.call('CLIENT', 'PAUSE', AWAY_MS, 'ALL');
        client.disconnect();
      }
      await pause(AWAY_MS);
    },
  },
  {
    name: 'Redis frozen and woken',
    bound: AWAY_MS + seconds(60),
    async strike({ redis }) {
      if (redis instanceof SentinelGroup) throw new Error('this farm fails over instead');
      redis.process.signal('SIGSTOP');
      await pause(AWAY_MS);
      redis.process.signal('SIGCONT');
    },
  },
];

const network: readonly Fault[] = LINKS.flatMap(({ between, of }): Fault[] => [
  {
    name: `the network cut between ${between}`,
    bound: AWAY_MS + seconds(60),
    async strike(farm) {
      const link = of(farm);
      link.cut();
      await pause(AWAY_MS);
      link.mend();
    },
  },
  {
    name: `the network silent between ${between}`,
    bound: AWAY_MS + seconds(60),
    async strike(farm) {
      const link = of(farm);
      silence(link, true);
      await pause(FROZEN_MS);
      silence(link, false);
    },
  },
]);

/** Which links of a replica may go dead without anybody being told. */
const SERVICE_LINKS = [
  { service: 'Redis', of: (farm: FaultFarm) => farm.pick(farm.schedulingReplicas).redisLink },
  { service: 'RabbitMQ', of: (farm: FaultFarm) => farm.pick(farm.schedulingReplicas).rabbitmqLink },
] as const;

const deadConnections: readonly Fault[] = SERVICE_LINKS.map(({ service, of }) => ({
  name: `the connection of a replica to ${service} dead without a word`,
  bound: seconds(60),
  strike: (farm) => {
    of(farm).strand();
    return pause(AWAY_MS);
  },
}));

const slowNetwork: Fault = {
  name: 'the network slow between everybody',
  bound: AWAY_MS + seconds(60),
  async strike(farm) {
    const links = farm.replicas.flatMap((replica) => replica.links);
    for (const link of links) link.delay(SLOW_MS);
    await pause(AWAY_MS);
    for (const link of links) {
      link.delay(0);
      link.breakConnections();
    }
  },
};

/** Everything that may happen to a farm with one Redis. */
export const FAULTS: readonly Fault[] = [
  ...replicas,
  storage,
  ...workers,
  ...broker,
  ...redis,
  ...network,
  ...deadConnections,
  slowNetwork,
];

/** What may happen to one under a Sentinel. */
export const FAIL_OVER: Fault = {
  name: 'Redis failed over by Sentinel',
  bound: STARTING_MS + seconds(60),
  forgets: 'operations',
  async strike({ redis }) {
    if (!(redis instanceof SentinelGroup)) throw new Error('this farm has no Sentinel');
    await redis.primary.process.stop('SIGKILL');
    await pause(AWAY_MS);
  },
};

async function restart(replica: FarmReplica, end: (replica: FarmReplica) => Promise<unknown>): Promise<void> {
  await end(replica);
  await replica.start();
}

function silence(link: DelayingProxy, silent: boolean): void {
  for (const direction of ['up', 'down'] as const) {
    if (silent) link.hold(direction);
    else link.release(direction);
  }
}

/**
 * Keeps bots from their replicas for a moment, so that what happens to the queues happens to work that waits. The moment
 * is shorter than a lease, or the farm would have no bots any more.
 */
async function whileWorkPilesUp(
  farm: FaultFarm,
  strike: (channel: Channel, queue: string) => Promise<unknown>,
): Promise<void> {
  const listed = await farm.rabbitmq.control('list_queues', '--no-table-headers', 'name');
  const queues = listed.split('\n').filter((name) => name.startsWith('warren.work.'));
  const connection = await connect(farm.rabbitmq.url);
  try {
    const channel = await connection.createChannel();
    for (const { front } of farm.botServers) front.cut();
    await pause(AWAY_MS / 3);
    for (const queue of queues) await strike(channel, queue);
  } finally {
    for (const { front } of farm.botServers) front.mend();
    await connection.close();
  }
}
