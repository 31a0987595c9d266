import { Farm, type FarmCalls } from '../support/farm.ts';
import { NoOpWork } from '../support/no-op-work.ts';
import { type BenchOptions, type Goal, MeasuredCase, median, type Row, type Scenario } from '../support/scenario.ts';
import { type Server, startServer } from '../support/server.ts';

const BOTS = 32;
const WARM_UP_CONCURRENCY = 64;
/** Node.js needs thousands of actions before one costs what it costs for good, and each replica needs its own. */
const WARM_UP_PER_PROCESS = 6_000;
const OF_EMBEDDED = 'of embedded';

interface Case {
  readonly concurrency: number;
  readonly actions: number;
  /** Of the farms. */
  readonly goals: readonly Goal[];
}

const CASES: readonly Case[] = [
  {
    concurrency: 1,
    actions: 300,
    goals: [
      { of: 'p50', atMost: 10 },
      { of: 'p99', atMost: 50 },
    ],
  },
  { concurrency: 16, actions: 1_500, goals: [] },
  {
    concurrency: 64,
    actions: 3_000,
    goals: [
      { of: 'value', atLeast: 400 },
      { of: OF_EMBEDDED, atLeast: 0.5 },
      { of: 'serverCpuMicroseconds', atMost: 1_000 },
    ],
  },
];

/** One of the grids that take turns. */
interface Contender {
  readonly name: string;
  readonly server: Server;
  readonly work: NoOpWork;
  /** Absent where everything is in one process. */
  readonly farm?: Farm;
}

/** Scheduling on Redis and RabbitMQ, beside the same work on the embedded grid, in turns. */
export const replicas: Scenario = {
  name: 'replicas',
  what: `the same on Redis and RabbitMQ, with one and with two replicas of all roles, in turns with the embedded grid`,
  async run(options) {
    const closers: Array<() => Promise<void>> = [];
    const enter = async (name: string, server: Server, farm?: Farm): Promise<Contender> => {
      closers.push(() => server.stop());
      const work = await NoOpWork.start(server, BOTS);
      closers.push(() => work.stop());
      return { name, server, work, ...(farm === undefined ? {} : { farm }) };
    };
    try {
      const contenders = [await enter('embedded', await startServer(options))];
      for (const count of [1, 2]) {
        const farm = await Farm.start(count, options);
        contenders.push(await enter(count === 1 ? 'one replica' : `${count} replicas`, farm.server, farm));
      }
      for (const { work, server } of contenders) {
        const count = Math.round(WARM_UP_PER_PROCESS * server.addresses.length * options.scale);
        await work.prepare(count);
        await work.run(WARM_UP_CONCURRENCY, count);
      }
      const rows: Row[] = [];
      for (const each of CASES) rows.push(...(await runCase(each, contenders, options)));
      return rows;
    } finally {
      for (const close of closers.reverse()) await close();
    }
  },
};

async function runCase(
  { concurrency, actions, goals }: Case,
  contenders: readonly Contender[],
  { rounds, scale }: BenchOptions,
): Promise<Row[]> {
  const count = Math.max(concurrency, Math.round(actions * scale));
  const lanes = contenders.map(({ name, server, work, farm }) => ({
    measured: new MeasuredCase(server, `Execute, ${concurrency} in flight: ${name}`, 'actions/s'),
    work,
    broker: farm === undefined ? undefined : new FarmMeter(farm),
  }));
  for (const { work } of lanes) await work.prepare(count * rounds);
  for (const { broker } of lanes) await broker?.begin();
  for (let i = 0; i < rounds; i += 1) {
    for (const { measured, work, broker } of lanes) {
      const before = broker?.cpu();
      await measured.round(() => work.run(concurrency, count));
      if (before !== undefined) broker?.note(before, count);
    }
  }
  const [embedded] = lanes;
  const rows: Row[] = [];
  for (const { measured, broker } of lanes) {
    if (broker === undefined) {
      rows.push(measured.row());
      continue;
    }
    const ratios = measured.rates.map((rate, i) => rate / (embedded?.measured.rates[i] ?? Number.NaN));
    const details = { [OF_EMBEDDED]: median(ratios), ...(await broker.end(count * rounds)) };
    rows.push({ ...measured.row(), details, ...(goals.length === 0 ? {} : { goal: goals }) });
  }
  return rows;
}

interface Cpu {
  readonly redis: number;
  readonly rabbitmq: number;
}

/** What Redis and RabbitMQ have to do with an action. */
class FarmMeter {
  readonly #farm: Farm;
  readonly #redis: number[] = [];
  readonly #rabbitmq: number[] = [];
  #callsBefore: FarmCalls | undefined;

  constructor(farm: Farm) {
    this.#farm = farm;
  }

  async begin(): Promise<void> {
    this.#callsBefore = await this.#farm.calls();
  }

  cpu(): Cpu {
    return { redis: this.#farm.redis.cpuMilliseconds(), rabbitmq: this.#farm.rabbitmq.cpuMilliseconds() };
  }

  /** A round of `actions` has ended. */
  note(before: Cpu, actions: number): void {
    const now = this.cpu();
    this.#redis.push(((now.redis - before.redis) * 1_000) / actions);
    this.#rabbitmq.push(((now.rabbitmq - before.rabbitmq) * 1_000) / actions);
  }

  /** @param actions of all rounds. Calls include what replicas ask while nothing is to do. */
  async end(actions: number): Promise<Record<string, number>> {
    const before = this.#callsBefore;
    const after = await this.#farm.calls();
    const each = (count: keyof FarmCalls) => (after[count] - (before?.[count] ?? 0)) / actions;
    return {
      'Redis CPU us': median(this.#redis),
      'RabbitMQ CPU us': median(this.#rabbitmq),
      'Redis calls': each('redisCalls'),
      publishes: each('publishes'),
      deliveries: each('deliveries'),
      'empty gets': each('emptyGets'),
      acknowledgements: each('acknowledgements'),
    };
  }
}
