import { AdministrationService, SetWorkQueuePausedRequest } from '../../src/proto/warren/v1/administration.ts';
import { Farm, type FarmMemory } from '../support/farm.ts';
import { type Crowd, NoOpWork } from '../support/no-op-work.ts';
import type { Row, Scenario } from '../support/scenario.ts';

const BOTS = 1_000;
const WARM_UP = 6_000;
const WARM_UP_BOTS = 32;
const IN_FLIGHT = 64;
/** Actions that are measured going in, and coming out, while so many others wait. */
const MEASURED = 4_000;
const DEPTHS = [1_000, 10_000, 100_000] as const;
/** Up to this depth clients keep their streams open while the memory is measured; beyond they have gone. */
const STREAMED_UP_TO = 10_000;
const OF_SHORTEST = 'of the shortest queue';
/** CPU for each action in the longest queue, as a multiple of that in the shortest. */
const FLAT_WITHIN = 1.5;
/** What waits must wait on for a client that comes back; looking whether a bot fits goes on as in any farm. */
const PATIENCE = { abandonSeconds: 86_400 };
const FILLED_AT_ONCE = 5_000;
const QUIET_MS = 2_000;
/** How long bots that are given nothing more may take to finish what they have. */
const FINISH_MS = 300;
const WAITING_MS = 5_000;
const LOOK_EVERY_MS = 50;
const KIBIBYTE = 1_024;

/** What scheduling costs when much waits, and what waits costs in memory. */
export const scale: Scenario = {
  name: 'scale',
  what: 'CPU of an action while 1 000, 10 000 and 100 000 wait, with 1 000 bots; memory of what waits, and of a bot',
  async run({ scale: part, ...options }) {
    const sized = (count: number) => Math.max(IN_FLIGHT, Math.round(count * part));
    const farm = await Farm.start(1, { ...options, scale: part }, { scheduling: PATIENCE });
    try {
      await warmUp(farm, sized(WARM_UP));
      const without = await farm.memory();
      const work = await NoOpWork.start(farm.server, sized(BOTS));
      try {
        await pause(QUIET_MS);
        const withBots = await farm.memory();
        const bots = memoryRow(`Memory of a bot, ${sized(BOTS)} idle`, without, withBots, sized(BOTS));
        return [bots, ...(await new QueueMeter(farm, work, sized).run())];
      } finally {
        await work.stop();
      }
    } finally {
      await farm.server.stop();
    }
  },
};

async function warmUp(farm: Farm, count: number): Promise<void> {
  const work = await NoOpWork.start(farm.server, WARM_UP_BOTS);
  try {
    await work.prepare(count);
    await work.run(IN_FLIGHT, count);
  } finally {
    await work.stop();
  }
}

type Cpu = readonly [replica: number, redis: number, rabbitmq: number];

/** Fills a work queue that is paused, and lets some through at each depth. */
class QueueMeter {
  readonly #farm: Farm;
  readonly #work: NoOpWork;
  readonly #sized: (count: number) => number;
  readonly #rows: Row[] = [];
  #waiting = 0;

  constructor(farm: Farm, work: NoOpWork, sized: (count: number) => number) {
    this.#farm = farm;
    this.#work = work;
    this.#sized = sized;
  }

  async run(): Promise<readonly Row[]> {
    await this.#setPaused(true);
    const shortest = new Map<string, number>();
    for (const depth of DEPTHS) {
      await this.#fill(this.#sized(depth), depth <= STREAMED_UP_TO);
      const goal = depth === DEPTHS.at(-1) ? { goal: { of: OF_SHORTEST, atMost: FLAT_WITHIN } } : {};
      await this.#measure('Submit', goal, shortest, (count) => this.#submit(count));
      await this.#measure('Lease and complete', goal, shortest, (count) => this.#drain(count));
      await this.#measureWaiting();
    }
    return this.#rows;
  }

  /** Fills the queue up to a depth, and measures what each action in it holds. */
  async #fill(depth: number, streamed: boolean): Promise<void> {
    const before = await this.#farm.memory();
    const count = depth - this.#waiting;
    const listening: Crowd[] = [];
    while (this.#waiting < depth) {
      const part = Math.min(FILLED_AT_ONCE, depth - this.#waiting);
      await this.#work.prepare(part);
      const clients = await this.#work.submit(IN_FLIGHT, part);
      this.#waiting += part;
      if (streamed) listening.push(clients);
      else clients.leave();
    }
    await pause(QUIET_MS);
    const name = `Memory of an action that waits, its client ${streamed ? 'listening' : 'gone'}, ${depth} wait`;
    this.#rows.push(memoryRow(name, before, await this.#farm.memory(), count));
    for (const clients of listening) clients.leave();
    await pause(QUIET_MS);
  }

  /** @param task given how many actions to do at least, does them and tells how many it did. */
  async #measure(
    what: string,
    goal: Pick<Row, 'goal'>,
    shortest: Map<string, number>,
    task: (count: number) => Promise<number>,
  ): Promise<void> {
    const count = this.#sized(MEASURED);
    await this.#work.prepare(count);
    const depth = this.#waiting;
    const before = this.#cpu();
    const done = await task(count);
    const [replica, redis, rabbitmq] = this.#cpu(before, 1_000 / done);
    const value = replica + redis + rabbitmq;
    if (!shortest.has(what)) shortest.set(what, value);
    const details = {
      'replica CPU us': replica,
      'Redis CPU us': redis,
      'RabbitMQ CPU us': rabbitmq,
      [OF_SHORTEST]: value / (shortest.get(what) ?? value),
    };
    this.#rows.push({ name: `${what}, ${depth} wait`, unit: 'us CPU', value, details, ...goal });
  }

  /** What it costs to have an eye on what waits, while nothing else goes on. */
  async #measureWaiting(): Promise<void> {
    await pause(QUIET_MS);
    const before = this.#cpu();
    await pause(WAITING_MS);
    const [replica, redis, rabbitmq] = this.#cpu(before, 1_000 / WAITING_MS);
    const details = { 'replica ms/s': replica, 'Redis ms/s': redis, 'RabbitMQ ms/s': rabbitmq };
    const name = `Nothing but waiting, ${this.#waiting} wait`;
    this.#rows.push({ name, unit: 'ms CPU/s', value: replica + redis + rabbitmq, details });
  }

  /** Milliseconds from `before` on, times a factor. */
  #cpu(before: Cpu = [0, 0, 0], factor = 1): Cpu {
    const { server, redis, rabbitmq } = this.#farm;
    return [
      (server.cpuMilliseconds() - before[0]) * factor,
      (redis.cpuMilliseconds() - before[1]) * factor,
      (rabbitmq.cpuMilliseconds() - before[2]) * factor,
    ];
  }

  async #submit(count: number): Promise<number> {
    const clients = await this.#work.submit(IN_FLIGHT, count);
    clients.leave();
    this.#waiting += count;
    return count;
  }

  /** Bots take what they can until it is enough, and finish what they have. */
  async #drain(count: number): Promise<number> {
    const before = this.#work.completions;
    await this.#setPaused(false);
    while (this.#work.completions - before < count) await pause(LOOK_EVERY_MS);
    await this.#setPaused(true);
    await pause(FINISH_MS);
    const done = this.#work.completions - before;
    this.#waiting -= done;
    return done;
  }

  async #setPaused(paused: boolean): Promise<void> {
    const [name, value] = this.#work.requirement;
    const request = SetWorkQueuePausedRequest.create({ properties: [{ name, value }], paused });
    await this.#work.client.unary(AdministrationService.setWorkQueuePaused, request);
  }
}

function memoryRow(name: string, before: FarmMemory, after: FarmMemory, count: number): Row {
  const each = (holder: keyof FarmMemory) => (after[holder] - before[holder]) / count / KIBIBYTE;
  const details = { 'Redis KiB': each('redis'), 'RabbitMQ KiB': each('rabbitmq'), 'replica KiB': each('replicas') };
  return { name, unit: 'KiB', value: each('redis') + each('rabbitmq') + each('replicas'), details };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
