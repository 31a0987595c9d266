import { parseArgs } from 'node:util';
import { FaultFarm } from '../support/faults/fault-farm.ts';
import { type FaultReport, runFault } from '../support/faults/fault-run.ts';
import { FAIL_OVER, FAULTS, type Fault } from '../support/faults/faults.ts';
import { seededRandom } from '../support/seeded-random.ts';

const HELP = `./dev soak [--minutes N] [--seed S]

Puts a farm of its own under steady load and lets things go wrong at random, one after another, until the time is over.
After each it checks every answer, every operation's end, every cached result and what is left in Redis and RabbitMQ.
Prints what was done and the counts. Exits 1 at the first promise that does not hold.

  --minutes N    how long it goes on (10)
  --seed S       repeats the choices of an earlier run (by the clock)
`;

/** How often, in faults, the farm is one under a Sentinel, whose primary is lost for good. */
const FAIL_OVER_EVERY = 20;
const SETTLES_WITHIN_MS = 60_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

process.exitCode = await main();

async function main(): Promise<number> {
  const minutes = Number(values.minutes);
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  if (values.help || !(minutes > 0) || !Number.isInteger(seed)) {
    console.log(HELP);
    return values.help ? 0 : 2;
  }
  console.log(`seed ${seed}, ${minutes} minutes`);
  const random = seededRandom(seed);
  const until = performance.now() + minutes * 60_000;
  const reports: FaultReport[] = [];
  try {
    while (performance.now() < until) reports.push(...(await soakFarm(random, until)));
  } catch (error) {
    console.log(`FAILED with seed ${seed}: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
  summarize(reports);
  return 0;
}

/** Faults at random on one farm, and a fail-over on another. */
async function soakFarm(random: () => number, until: number): Promise<FaultReport[]> {
  const reports: FaultReport[] = [];
  const farm = await FaultFarm.start({ random });
  try {
    for (let i = 1; i < FAIL_OVER_EVERY && performance.now() < until; i++) {
      reports.push(await strike(farm, farm.pick(FAULTS)));
    }
  } finally {
    await farm.close();
  }
  if (performance.now() >= until) return reports;
  const group = await FaultFarm.start({ random, sentinel: true });
  try {
    reports.push(await strike(group, FAIL_OVER));
  } finally {
    await group.close();
  }
  return reports;
}

async function strike(farm: FaultFarm, fault: Fault): Promise<FaultReport> {
  try {
    const report = await runFault(farm, fault, { settlesWithin: SETTLES_WITHIN_MS });
    console.log(JSON.stringify(report));
    return report;
  } catch (error) {
    console.log(farm.logs);
    throw error;
  }
}

function summarize(reports: readonly FaultReport[]): void {
  const sum = (of: (report: FaultReport) => number) => reports.reduce((total, report) => total + of(report), 0);
  const most = (of: (report: FaultReport) => number) => Math.max(0, ...reports.map(of));
  console.log(
    `${reports.length} faults, ${sum(({ actions }) => actions)} actions (${sum(({ onWorker }) => onWorker)} of them on a ` +
      `real worker) as ${sum(({ operations }) => operations)} operations, ${sum(({ retries }) => retries)} calls made ` +
      `again, slowest action ${most(({ slowestMilliseconds }) => slowestMilliseconds)} ms, slowest settling ` +
      `${most(({ settledMilliseconds }) => settledMilliseconds)} ms; every promise held`,
  );
}
