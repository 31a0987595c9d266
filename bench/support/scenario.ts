import type { ProcessMeter } from './server.ts';

/** One line of the results. */
export interface Row {
  /** Scenario and case, such as `execute: 64 in flight`. */
  readonly name: string;
  /** What `value` counts, such as `actions/s`. */
  readonly unit: string;
  /** The median over the rounds. */
  readonly value: number;
  /** Least and greatest of the rounds, which show how far the machine was busy with other things. */
  readonly spread?: readonly [least: number, greatest: number];
  /** Milliseconds that a single call took. */
  readonly p50?: number;
  readonly p99?: number;
  /** Microseconds of the server's CPU per unit of work. */
  readonly serverCpuMicroseconds?: number;
  /** The greatest resident size of the server meanwhile, in MiB. */
  readonly serverMebibytes?: number;
  /** The same measured against a bare server that does nothing else, in the same run: value / bare. */
  readonly ofBare?: number;
  /** Further figures by what they are called; rows with the same ones share a table of their own. */
  readonly details?: Readonly<Record<string, number>>;
  readonly goal?: Goal | readonly Goal[];
}

/** What a row must reach. */
export interface Goal {
  /** A figure of the row, or one of its details. */
  readonly of: 'value' | 'p50' | 'p99' | 'serverCpuMicroseconds' | 'serverMebibytes' | (string & {});
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface BenchOptions {
  /** Rounds of each case. */
  readonly rounds: number;
  /** How far to cut warm-up and work: 1 for real figures, less for a look. */
  readonly scale: number;
  /** Folder into which every server process writes a CPU profile, if any. */
  readonly profileFolder: string | undefined;
}

/** One scenario: brings its own server, and takes it down. */
export interface Scenario {
  readonly name: string;
  /** What it measures, in one line. */
  readonly what: string;
  run(options: BenchOptions): Promise<Row[]>;
}

/** The goals of a row. */
export function goalsOf({ goal }: Row): readonly Goal[] {
  if (goal === undefined) return [];
  return 'of' in goal ? [goal] : goal;
}

/** Whether a row reaches a goal of its. A figure that is not there reaches none. */
export function reachesGoal(row: Row, goal: Goal): boolean {
  const value: unknown = goal.of in row ? row[goal.of as keyof Row] : row.details?.[goal.of];
  if (typeof value !== 'number') return false;
  return value <= (goal.atMost ?? Number.POSITIVE_INFINITY) && value >= (goal.atLeast ?? 0);
}

/** What one round measured. */
export interface Round {
  /** Units of work done. */
  readonly work: number;
  readonly milliseconds: number;
  /** Milliseconds of each call. */
  readonly latencies: readonly number[];
}

/** Runs rounds against a server and sums them up as one row of work per second. */
export async function measure(
  server: ProcessMeter,
  name: string,
  unit: string,
  rounds: number,
  round: () => Promise<Round>,
): Promise<Row> {
  const measured = new MeasuredCase(server, name, unit);
  for (let i = 0; i < rounds; i++) await measured.round(round);
  return measured.row();
}

/** Rounds of one case, which those of other cases may come between. */
export class MeasuredCase {
  readonly #server: ProcessMeter;
  readonly #name: string;
  readonly #unit: string;
  readonly #rounds: Round[] = [];
  readonly #cpu: number[] = [];
  #peak = 0;

  constructor(server: ProcessMeter, name: string, unit: string) {
    this.#server = server;
    this.#name = name;
    this.#unit = unit;
  }

  async round(run: () => Promise<Round>): Promise<Round> {
    this.#server.resetPeak();
    const before = this.#server.cpuMilliseconds();
    const round = await run();
    this.#cpu.push(((this.#server.cpuMilliseconds() - before) * 1_000) / round.work);
    this.#rounds.push(round);
    this.#peak = Math.max(this.#peak, this.#server.peakMebibytes());
    return round;
  }

  /** Units of work in each second of each round. */
  get rates(): readonly number[] {
    return this.#rounds.map((each) => (each.work * 1_000) / each.milliseconds);
  }

  row(): Row {
    const latencies = this.#rounds.flatMap((each) => each.latencies);
    return {
      name: this.#name,
      unit: this.#unit,
      value: median(this.rates),
      spread: [Math.min(...this.rates), Math.max(...this.rates)],
      p50: percentile(latencies, 0.5),
      p99: percentile(latencies, 0.99),
      serverCpuMicroseconds: median(this.#cpu),
      serverMebibytes: this.#peak,
    };
  }
}

/** Makes `count` calls, `concurrency` at a time. @param call gives the units of work that it did. */
export async function inFlight(
  concurrency: number,
  count: number,
  call: (index: number) => Promise<number>,
): Promise<Round> {
  const latencies: number[] = [];
  let next = 0;
  let work = 0;
  const start = performance.now();
  const lane = async () => {
    while (next < count) {
      const index = next;
      next += 1;
      const begun = performance.now();
      const done = await call(index);
      latencies.push(performance.now() - begun);
      work += done;
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, lane));
  return { work, milliseconds: performance.now() - start, latencies };
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}
