import type { Server } from './server.ts';

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
  readonly goal?: Goal;
}

/** What a row must reach. */
export interface Goal {
  readonly of: 'value' | 'p50' | 'serverMebibytes';
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

/** Whether a row reaches its goal; undefined where it has none. */
export function reachesGoal(row: Row): boolean | undefined {
  if (row.goal === undefined) return undefined;
  const value = row[row.goal.of];
  if (value === undefined) return undefined;
  return value <= (row.goal.atMost ?? Number.POSITIVE_INFINITY) && value >= (row.goal.atLeast ?? 0);
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
  server: Server,
  name: string,
  unit: string,
  rounds: number,
  round: () => Promise<Round>,
): Promise<Row> {
  const results: Round[] = [];
  const cpu: number[] = [];
  server.resetPeak();
  for (let i = 0; i < rounds; i++) {
    const before = server.cpuMilliseconds();
    const result = await round();
    cpu.push(((server.cpuMilliseconds() - before) * 1_000) / result.work);
    results.push(result);
  }
  const rates = results.map((each) => (each.work * 1_000) / each.milliseconds);
  const latencies = results.flatMap((each) => each.latencies);
  return {
    name,
    unit,
    value: median(rates),
    spread: [Math.min(...rates), Math.max(...rates)],
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    serverCpuMicroseconds: median(cpu),
    serverMebibytes: server.peakMebibytes(),
  };
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
