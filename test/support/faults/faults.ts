import { type Channel, connect } from 'amqplib';
import { Redis } from 'ioredis';
import { SentinelGroup } from '../redis-sentinel.ts';
import type { RedisServer } from '../redis-server.ts';
import type { FarmReplica } from './farm-replica.ts';
import { AWAY_MS, type Fault, FROZEN_MS, pause, STARTING_MS, seconds } from './fault.ts';
import { FARM_TIMES, type FaultFarm, SIMULATED_PLATFORM } from './fault-farm.ts';
import { hasSession } from './leftovers.ts';
import { LoadClient } from './load-client.ts';

const LOOK_EVERY_MS = 250;

const REPLICAS = [
  { kind: 'replica for clients', of: (farm: FaultFarm) => farm.pick(farm.frontends) },
  { kind: 'replica for bots', of: (farm: FaultFarm) => farm.pick(farm.botServers) },
  { kind: 'replica for logs and assets', of: (farm: FaultFarm) => farm.pick(farm.caches) },
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
    strike: (farm: FaultFarm) => whileFrozen(of(farm)),
  })),
  {
    name: 'kill -9 of each process of a replica of several',
    bound: STARTING_MS,
    async strike(farm) {
      for (const replica of farm.schedulingReplicas) if (replica.processes > 1) await replica.killEachProcess();
    },
  },
];

const storage: readonly Fault[] = [
  {
    name: 'kill -9 of the storage',
    bound: STARTING_MS,
    forgets: 'cached results',
    strike: (farm) => restart(farm.storage, (replica) => replica.kill()),
  },
  {
    name: 'SIGTERM of the storage',
    bound: STARTING_MS,
    forgets: 'cached results',
    strike: (farm) => restart(farm.storage, (replica) => replica.terminate()),
  },
  {
    name: 'the storage frozen, and woken',
    bound: FROZEN_MS + seconds(60),
    forgets: 'cached results',
    strike: ({ storage }) => whileFrozen(storage),
  },
];

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
    name: 'the worker frozen past its lease, and woken',
    // Its last call may be held for as long as a lease; from then on it has the time of one.
    bound: seconds(3 * FARM_TIMES.lease + 60),
    async strike(farm) {
      farm.signalWorker('SIGSTOP');
      while (await hasSession(await farm.primaryRedisPort(), farm.workerId)) await pause(LOOK_EVERY_MS);
      farm.signalWorker('SIGCONT');
    },
  },
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
  alarm('memory', ['set_vm_memory_high_watermark', '0.000001'], ['set_vm_memory_high_watermark', '0.4']),
  alarm('disk space', ['set_disk_free_limit', '1000000GB'], ['set_disk_free_limit', '50MB']),
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

const starts: readonly Fault[] = [
  {
    name: 'replicas started while RabbitMQ is away',
    bound: STARTING_MS + seconds(60),
    strike: (farm) =>
      restartDuring(farm, async () => {
        await farm.rabbitmq.kill();
        return () => farm.rabbitmq.process.start();
      }),
  },
  {
    name: 'replicas started while Redis is away',
    bound: STARTING_MS + seconds(60),
    strike: (farm) =>
      restartDuring(farm, async () => {
        const { process } = onlyRedis(farm);
        await process.stop('SIGKILL');
        return () => process.start();
      }),
  },
];

const redis: readonly Fault[] = [
  {
    name: 'Redis killed and started again on its append-only file',
    bound: STARTING_MS + seconds(15),
    async strike(farm) {
      const { process } = onlyRedis(farm);
      await process.stop('SIGKILL');
      await process.start();
    },
  },
  {
    name: 'Redis paused',
    bound: AWAY_MS + seconds(60),
    async strike(farm) {
      const client = new Redis({ host: '127.0.0.1', port: await farm.primaryRedisPort() });
      await client.call('CLIENT', 'PAUSE', AWAY_MS, 'ALL');
      client.disconnect();
      await pause(AWAY_MS);
    },
  },
  {
    name: 'Redis frozen and woken',
    bound: AWAY_MS + seconds(60),
    async strike(farm) {
      const { process } = onlyRedis(farm);
      process.signal('SIGSTOP');
      await pause(AWAY_MS);
      process.signal('SIGCONT');
    },
  },
];

/** What may happen to the processes and services of a farm with one Redis. */
export const FAULTS: readonly Fault[] = [...replicas, ...storage, ...workers, ...broker, ...redis, ...starts];

function onlyRedis({ redis }: FaultFarm): RedisServer {
  if (redis instanceof SentinelGroup) throw new Error('this farm fails over instead');
  return redis;
}

async function restart(replica: FarmReplica, end: (replica: FarmReplica) => Promise<unknown>): Promise<void> {
  await end(replica);
  await replica.start();
}

async function whileFrozen(replica: FarmReplica): Promise<void> {
  replica.freeze();
  await pause(FROZEN_MS);
  replica.wake();
}

/** One replica of each side, ended with the service that they stand on, is there again only after them. */
async function restartDuring(farm: FaultFarm, end: () => Promise<() => Promise<void>>): Promise<void> {
  const struck = [farm.pick(farm.frontends), farm.pick(farm.botServers)];
  const [bringBack] = await Promise.all([end(), ...struck.map((each) => each.kill())]);
  const starting = Promise.all(struck.map((each) => each.start()));
  await pause(AWAY_MS);
  await bringBack();
  await starting;
}

/** How many clients come at once while the broker takes nothing. */
const CROWD = 200;

/** How much memory a replica may want for it: one that was just started grows by half of it in a busy minute. */
const CROWD_BYTES = 192 * 1_024 * 1_024;

/** What the broker lacks for a time, by `rabbitmqctl` with these arguments. */
function alarm(lacks: string, begin: readonly string[], end: readonly string[]): Fault {
  return {
    name: `RabbitMQ out of ${lacks}`,
    bound: STARTING_MS + seconds(60),
    async strike(farm) {
      const before = await Promise.all(farm.frontends.map((each) => each.residentBytes()));
      await farm.rabbitmq.control(...begin);
      const client = new LoadClient({ replicas: farm.clients, random: farm.loadRandom });
      const crowd = Array.from({ length: CROWD }, () =>
        client.execute({ action: { platform: SIMULATED_PLATFORM } }, STARTING_MS + seconds(60)),
      );
      const answers = Promise.all(crowd);
      answers.catch(() => {});
      await pause(AWAY_MS);
      await farm.rabbitmq.control(...end);
      const after = await Promise.all(farm.frontends.map((each) => each.residentBytes()));
      const refusals = (await answers)
        .flatMap(({ retries }) => retries)
        .filter((each) => /takes no messages/.test(each));
      if (refusals.length === 0) throw new Error('nobody was refused, though RabbitMQ took nothing');
      const rude = refusals.filter((each) => !/UNAVAILABLE .*come again in \d+ ms/.test(each));
      if (rude.length > 0) throw new Error(`not UNAVAILABLE with RetryInfo:\n${rude.join('\n')}`);
      for (const [i, { name }] of farm.frontends.entries()) {
        const grown = (after[i] ?? 0) - (before[i] ?? 0);
        if (grown > CROWD_BYTES) throw new Error(`${name} grew by ${grown} bytes while RabbitMQ took nothing`);
      }
    },
  };
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
