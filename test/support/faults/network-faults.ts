import type { DelayingProxy } from '../delaying-proxy.ts';
import type { FarmReplica, FarmService } from './farm-replica.ts';
import { AWAY_MS, type Fault, FROZEN_MS, pause, seconds } from './fault.ts';
import type { FaultFarm } from './fault-farm.ts';

/** Two that speak to each other, and what lies between them. */
interface Pair {
  readonly name: string;
  /** What may be gone when nothing passes between them, as for `Fault`. */
  readonly forgets?: Fault['forgets'];
  /**
   * Milliseconds until both know of a connection that has died without a word. Not given where that is too long: the real
   * worker tries its connection once a minute, and meanwhile no bot fits its actions.
   */
  readonly silentDeath?: number;
  link(farm: FaultFarm): DelayingProxy;
}

/** What may be wrong with a link. */
interface Trouble {
  readonly name: string;
  /** Milliseconds between its begin and its end. */
  readonly lasts: number;
  /** Whether it is over only when those who speak over the link know of it. Defaults to no. */
  readonly isDeath?: boolean;
  begin(link: DelayingProxy, farm: FaultFarm): void;
  end(link: DelayingProxy): void;
}

/** What is slow takes so long, each way, in milliseconds. */
const SLOW_MS = 250;

/** Bytes a second of a link that is narrow: an action needs some ten thousand on each of its links. */
const NARROW = 8 * 1_024;

/** A message that is broken off is so within this many bytes. */
const WITHIN_BYTES = 2_000;

/** What the slowest machine needs for whatever follows when all is mended, in milliseconds. */
const REST_MS = seconds(60);

const SIDES: ReadonlyArray<{ readonly replica: string; readonly of: (farm: FaultFarm) => FarmReplica }> = [
  { replica: 'a replica for clients', of: (farm) => farm.pick(farm.frontends) },
  { replica: 'a replica for bots', of: (farm) => farm.pick(farm.botServers) },
];

function pairsWith(
  service: string,
  key: FarmService,
  silentDeath: number,
  forgets?: Fault['forgets'],
): readonly Pair[] {
  return SIDES.map(({ replica, of }) => ({
    name: `${replica} and ${service}`,
    silentDeath,
    ...(forgets === undefined ? {} : { forgets }),
    link: (farm: FaultFarm) => of(farm).linkTo(key),
  }));
}

const CLIENTS: Pair = {
  name: 'clients and a replica',
  silentDeath: seconds(4),
  link: (farm) => farm.pick(farm.frontends).front,
};
const BOTS: Pair = {
  name: 'bots and a replica',
  link: (farm) => farm.pick(farm.botServers).front,
};
/** The time for a call, twice the heartbeat, and the storage's keep-alive. */
const WITH_REDIS = pairsWith('Redis', 'redis', seconds(10));
const WITH_RABBITMQ = pairsWith('RabbitMQ', 'rabbitmq', seconds(6));
const WITH_STORAGE = pairsWith('the storage', 'storage', seconds(5), 'cached results');

const TROUBLES: readonly Trouble[] = [
  { name: 'cut', lasts: 2_000, begin: (link) => link.cut(), end: (link) => link.mend() },
  {
    name: 'cut in the midst of messages',
    lasts: 1_000,
    begin(link, { random }) {
      link.breakAfter('up', Math.ceil(random() * WITHIN_BYTES));
      link.breakAfter('down', Math.ceil(random() * WITHIN_BYTES));
    },
    end() {},
  },
  {
    name: 'slow',
    lasts: 2_000,
    begin: (link) => link.delay(SLOW_MS),
    end(link) {
      link.delay(0);
      link.breakConnections();
    },
  },
  {
    name: 'narrow',
    lasts: 2_000,
    begin: (link) => link.throttle(NARROW),
    end: (link) => link.throttle(Number.POSITIVE_INFINITY),
  },
  {
    name: 'dead without a word',
    lasts: AWAY_MS,
    isDeath: true,
    begin: (link) => link.strand(),
    end() {},
  },
];

const SILENCES: readonly Trouble[] = [
  silence('silent', ['up', 'down']),
  silence('silent one way', ['up']),
  silence('silent the other way', ['down']),
];

function silence(name: string, directions: ReadonlyArray<'up' | 'down'>): Trouble {
  return {
    name,
    lasts: FROZEN_MS,
    begin: (link) => directions.forEach((each) => link.hold(each)),
    end: (link) => directions.forEach((each) => link.release(each)),
  };
}

/** All links at once. */
export const SLOW_EVERYWHERE: Fault = {
  name: 'the network slow between everybody',
  bound: AWAY_MS + REST_MS,
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

/** Each trouble between each pair, one at a time: more than a test has time for. */
export const PAIR_FAULTS: readonly Fault[] = [...TROUBLES, ...SILENCES].flatMap((trouble) =>
  [CLIENTS, BOTS, ...WITH_REDIS, ...WITH_RABBITMQ, ...WITH_STORAGE]
    .filter((pair) => canSuffer(pair, trouble))
    .map((pair) => ({
      name: `the network ${trouble.name} between ${pair.name}`,
      bound: boundOf(trouble, [pair]),
      ...(pair.forgets === undefined ? {} : { forgets: pair.forgets }),
      strike: (farm: FaultFarm) => suffer(farm, trouble, pair),
    })),
);

/** The same in little time: a trouble goes from pair to pair, under one load and with one look at what is left over. */
export const NETWORK_FAULTS: readonly Fault[] = [
  ...TROUBLES.map((trouble): Fault => {
    const pairs = [CLIENTS, BOTS, ...WITH_REDIS, ...WITH_RABBITMQ].filter((pair) => canSuffer(pair, trouble));
    return {
      name: `the network ${trouble.name} between each pair`,
      bound: boundOf(trouble, pairs),
      async strike(farm) {
        for (const pair of pairs) await suffer(farm, trouble, pair);
      },
    };
  }),
  {
    name: 'the network silent between each pair',
    bound: FROZEN_MS + REST_MS,
    async strike(farm) {
      for (const pairs of [[CLIENTS, BOTS], WITH_REDIS, WITH_RABBITMQ])
        await sufferAtOnce(farm, farm.pick(SILENCES), pairs);
    },
  },
  {
    name: 'the network cut, slow, narrow, silent and dead between replicas and the storage',
    bound: FROZEN_MS + REST_MS,
    forgets: 'cached results',
    async strike(farm) {
      for (const trouble of [...TROUBLES, farm.pick(SILENCES)]) await sufferAtOnce(farm, trouble, WITH_STORAGE);
    },
  },
  SLOW_EVERYWHERE,
];

function canSuffer(pair: Pair, { isDeath = false }: Trouble): boolean {
  return !isDeath || pair.silentDeath !== undefined;
}

function boundOf({ lasts, isDeath = false }: Trouble, pairs: readonly Pair[]): number {
  const noticed = isDeath ? Math.max(...pairs.map(({ silentDeath = 0 }) => silentDeath)) : 0;
  return lasts + noticed + REST_MS;
}

async function suffer(farm: FaultFarm, trouble: Trouble, pair: Pair): Promise<void> {
  const link = pair.link(farm);
  trouble.begin(link, farm);
  await pause(trouble.lasts);
  trouble.end(link);
}

/** On both sides of the farm together: what takes longer than the others would take too long one by one. */
async function sufferAtOnce(farm: FaultFarm, trouble: Trouble, pairs: readonly Pair[]): Promise<void> {
  await Promise.all(pairs.map((pair) => suffer(farm, trouble, pair)));
}
