import { AssetLoad } from './asset-load.ts';
import { ConsoleLoad } from './console-load.ts';
import type { Fault } from './fault.ts';
import type { FaultFarm } from './fault-farm.ts';
import { leftoversInRabbitmq, leftoversInRedis } from './leftovers.ts';
import { LogLoad } from './log-load.ts';
import { type LoadReport, SteadyLoad } from './steady-load.ts';

export interface FaultRunOptions {
  /** Milliseconds that a farm may take to come to rest once no client asks for anything. */
  readonly settlesWithin: number;
}

/** What one fault came to. */
export interface FaultReport extends LoadReport {
  readonly fault: string;
  /** Milliseconds that the slowest action may have taken. */
  readonly boundMilliseconds: number;
  readonly settledMilliseconds: number;
  /** What was there still when the last client had its answer, by kind: when it was last seen, in milliseconds. */
  readonly settled: Readonly<Record<string, number>>;
}

/** Actions that have to go through before a fault and after it. */
const ACTIONS_AROUND = 12;
const LOOK_EVERY_MS = 250;

/**
 * Puts a farm under load, lets something go wrong, mends it, lets the load end, and holds what came of it against what is
 * promised: an answer for everybody within the bound and the right one, one end for each operation, no result lost, and
 * nothing left behind.
 *
 * @throws Error that says what does not hold.
 */
export async function runFault(farm: FaultFarm, fault: Fault, options: FaultRunOptions): Promise<FaultReport> {
  const common = { random: farm.loadRandom, bound: fault.bound };
  const beside = [
    new ConsoleLoad({ ...common, ports: farm.consolePorts }),
    ...(farm.caches.length === 0 ? [] : [LogLoad, AssetLoad]).map(
      (Load) => new Load({ ...common, replicas: farm.cacheClients }),
    ),
  ];
  const load = new SteadyLoad({ ...common, replicas: farm.clients, beside });
  let report: LoadReport;
  try {
    await progress(load, fault, ACTIONS_AROUND);
    await fault.strike(farm);
    await progress(load, fault, ACTIONS_AROUND);
  } finally {
    report = await withinBound(load.finish(), load, fault);
  }
  const { slowestMilliseconds } = report;
  if (slowestMilliseconds > fault.bound) {
    throw new Error(`an action took ${slowestMilliseconds} ms with '${fault.name}', where ${fault.bound} are allowed`);
  }
  const broken = await load.broken(fault.forgets);
  if (broken.length > 0) throw new Error(`after '${fault.name}':\n${broken.join('\n')}`);
  return {
    fault: fault.name,
    boundMilliseconds: fault.bound,
    ...report,
    ...(await settle(farm, fault, options.settlesWithin)),
  };
}

/** One line for people. */
export function describeReport(report: FaultReport): string {
  const { fault, actions, onWorker, builds, operations, beside, retries, settled } = report;
  const others = Object.entries(beside).map(([kind, count]) => `${count} ${kind}`);
  const left = Object.entries(settled).map(([kind, at]) => `${kind} (${inSeconds(at)})`);
  return [
    `${fault}: ${actions} actions and ${builds} builds, ${onWorker} actions on the real worker, ${operations} operations`,
    others.join(', '),
    `${retries} calls made again`,
    `slowest ${inSeconds(report.slowestMilliseconds)} of ${inSeconds(report.boundMilliseconds)} allowed`,
    left.length === 0 ? 'nothing left over' : `the last thing left over: ${left.join(', ')}`,
  ].join('; ');
}

export function inSeconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}

/** Waits until so many more actions have their answer; each has a bound of its own. */
async function progress(load: SteadyLoad, fault: Fault, actions: number): Promise<void> {
  const goal = load.finished + actions;
  const enough = async () => {
    while (load.finished < goal && !load.failed) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  };
  await withinBound(enough(), load, fault);
}

/** The outcome, unless clients hang for longer than they may. @throws Error that says for what. */
async function withinBound<T>(outcome: Promise<T>, load: SteadyLoad, fault: Fault): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const hanging = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`after ${fault.bound} ms clients hang with '${fault.name}':\n${load.waiting.join('\n')}`));
    }, fault.bound);
  });
  try {
    return await Promise.race([outcome, hanging]);
  } finally {
    clearTimeout(timer);
  }
}

async function settle(
  farm: FaultFarm,
  fault: Fault,
  within: number,
): Promise<Pick<FaultReport, 'settledMilliseconds' | 'settled'>> {
  const begun = performance.now();
  const settled: Record<string, number> = {};
  for (;;) {
    const left = await leftoversInRedis(await farm.primaryRedisPort());
    // Asking RabbitMQ takes seconds of the processor.
    const replicas = farm.schedulingReplicas.reduce((sum, { processes }) => sum + processes, 0);
    if (left.length === 0) left.push(...(await leftoversInRabbitmq(farm.rabbitmq, replicas)));
    // How long the looking takes does not count.
    if (left.length === 0) return { settledMilliseconds: Math.max(0, ...Object.values(settled)), settled };
    const milliseconds = Math.round(performance.now() - begun);
    if (milliseconds > within) throw new Error(`left over ${within} ms after '${fault.name}':\n${left.join('\n')}`);
    for (const each of left) settled[kindOf(each)] = milliseconds;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** The text without what differs from one job, session or queue to another. */
function kindOf(leftover: string): string {
  return leftover
    .replace(/\{[0-9a-f]{2}\}/, '')
    .replace(/(job|session|shared):\S+/, '$1')
    .replace(/\d+/g, 'N');
}
