import { parseArgs } from 'node:util';
import { FAIL_OVERS } from '../support/faults/fail-over-faults.ts';
import type { Fault } from '../support/faults/fault.ts';
import { FaultFarm } from '../support/faults/fault-farm.ts';
import { describeReport, type FaultReport, inSeconds, runFault } from '../support/faults/fault-run.ts';
import { FAULTS } from '../support/faults/faults.ts';
import { PAIR_FAULTS, SLOW_EVERYWHERE } from '../support/faults/network-faults.ts';
import { seededRandom } from '../support/seeded-random.ts';

const HELP = `./dev soak [--minutes N] [--seed S]

Puts a farm of its own under steady load and lets things go wrong at random, one after another, until the time is over.
After each it checks every answer, every operation's end, every cached result and what is left in Redis and RabbitMQ.
Prints a line for each fault, and what they came to in the end. Exits 1 at the first promise that does not hold
(docs/operating-faults.md), with the logs of all processes.

  --minutes N    how long it goes on (10)
  --seed S       the same faults in the same order as an earlier run (by the clock)
`;

/** How often, in faults, the farm is one under a Sentinel, whose primary is lost for good. */
const FAIL_OVER_EVERY = 20;
/** What may be wrong with links: between two, and between all. */
const NETWORK: readonly Fault[] = [...PAIR_FAULTS, SLOW_EVERYWHERE];
const SETTLES_WITHIN_MS = 60_000;
/** Between the seeds of two farms of a run. */
const SEEDS_APART = 1_000_003;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

async function main(): Promise<number> {
  const minutes = Number(values.minutes);
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  if (values.help || !(minutes > 0) || !Number.isInteger(seed)) {
    console.log(HELP);
    return values.help ? 0 : 2;
  }
  const soak = new Soak(seed, minutes * 60_000);
  console.log(`seed ${seed}: faults at random for ${minutes} minutes`);
  try {
    await soak.run();
  } catch (error) {
    console.log(`${soak.clock} FAILED: ${error instanceof Error ? error.message : String(error)}`);
    console.log(`${soak.reports.length} faults went well before; ./dev soak --seed ${seed} begins with the same`);
    return 1;
  }
  summarize(soak.reports);
  return 0;
}

class Soak {
  readonly reports: FaultReport[] = [];
  readonly #seed: number;
  readonly #random: () => number;
  readonly #begun = performance.now();
  readonly #lasts: number;
  readonly #faults: Deck<Fault>;
  readonly #pairs: Deck<Fault>;
  readonly #failOvers: Deck<Fault>;
  #farms = 0;

  constructor(seed: number, lasts: number) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#lasts = lasts;
    this.#faults = new Deck(FAULTS, this.#random);
    this.#pairs = new Deck(NETWORK, this.#random);
    this.#failOvers = new Deck(FAIL_OVERS, this.#random);
  }

  /** Minutes and seconds since the start. */
  get clock(): string {
    const seconds = Math.round((performance.now() - this.#begun) / 1_000);
    return `${String(Math.floor(seconds / 60)).padStart(3)}:${String(seconds % 60).padStart(2, '0')}`;
  }

  async run(): Promise<void> {
    while (!this.#isOver) {
      await this.#onFarm(false, FAIL_OVER_EVERY - 1, () => (this.#random() < 0.5 ? this.#faults : this.#pairs).deal());
      if (!this.#isOver) await this.#onFarm(true, 1, () => this.#failOvers.deal());
    }
  }

  get #isOver(): boolean {
    return performance.now() - this.#begun >= this.#lasts;
  }

  async #onFarm(sentinel: boolean, faults: number, next: () => Fault): Promise<void> {
    this.#farms += 1;
    const farm = await FaultFarm.start({ seed: this.#seed + this.#farms * SEEDS_APART, sentinel });
    try {
      for (let i = 0; i < faults && !this.#isOver; i++) {
        const report = await runFault(farm, next(), { settlesWithin: SETTLES_WITHIN_MS });
        this.reports.push(report);
        console.log(`${this.clock} ${describeReport(report)}`);
      }
    } catch (error) {
      console.log(farm.logs);
      throw error;
    } finally {
      await farm.close();
    }
  }
}

/** Deals its cards in an order of chance, and each before any comes again. */
class Deck<T> {
  readonly #cards: readonly T[];
  readonly #random: () => number;
  #rest: T[] = [];

  constructor(cards: readonly T[], random: () => number) {
    this.#cards = cards;
    this.#random = random;
  }

  deal(): T {
    if (this.#rest.length === 0) this.#rest = [...this.#cards];
    return this.#rest.splice(Math.floor(this.#random() * this.#rest.length), 1)[0] as T;
  }
}

function summarize(reports: readonly FaultReport[]): void {
  const sum = (of: (report: FaultReport) => number) => reports.reduce((total, report) => total + of(report), 0);
  const most = (of: (report: FaultReport) => number) => Math.max(0, ...reports.map(of));
  const kinds = new Set(reports.map(({ fault }) => fault));
  const beside = [...new Set(reports.flatMap((report) => Object.keys(report.beside)))].map(
    (kind) => `${sum((report) => report.beside[kind] ?? 0)} ${kind}`,
  );
  const others = [...FAULTS, ...NETWORK, ...FAIL_OVERS].map(({ name }) => name).filter((name) => !kinds.has(name));
  console.log(
    `${reports.length} faults of ${kinds.size} kinds, ${sum(({ actions }) => actions)} actions and ` +
      `${sum(({ builds }) => builds)} builds, ${sum(({ onWorker }) => onWorker)} actions on the real worker, ` +
      `${sum(({ operations }) => operations)} operations, ${beside.join(', ')}; ` +
      `${sum(({ retries }) => retries)} calls made again; slowest action ` +
      `${inSeconds(most(({ slowestMilliseconds }) => slowestMilliseconds))}, longest until nothing was left over ` +
      `${inSeconds(most(({ settledMilliseconds }) => settledMilliseconds))}; every promise held`,
  );
  if (others.length > 0) console.log(`${others.length} kinds did not get their turn: ${others.join('; ')}`);
}

process.exitCode = await main();
