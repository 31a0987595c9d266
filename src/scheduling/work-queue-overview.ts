import { type BotSession, type DrainPattern, isDrained } from '../domain/bot-session.ts';
import { createCapability, fits, type Requirement } from '../domain/platform.ts';
import { type WorkQueueName, workQueueKey } from '../domain/work.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { Broker } from '../ports/broker.ts';
import type { JobStore } from '../ports/job-store.ts';
import { describeUnmet } from './fit-check.ts';

export interface WorkQueueOverviewOptions {
  readonly jobs: JobStore;
  readonly sessions: BotSessionStore;
  readonly broker: Broker;
}

/** How one work queue stands. */
export interface WorkQueueReport extends WorkQueueName {
  readonly paused: boolean;
  /** By the job store. */
  readonly waitingJobs: number;
  /** Milliseconds since the epoch; undefined where none waits. */
  readonly oldestQueuedAt: number | undefined;
  /** In the broker: hints, some of which may be void or lost. */
  readonly waitingMessages: number;
  /** Bots that may run this work, whatever they do at present. */
  readonly fittingBots: number;
  /** How many more leases those of them take that are well and not drained. */
  readonly idleSlots: number;
  /** Why what waits does, in words; empty where nothing waits. */
  readonly reason: string;
}

/** Queues and bots at one moment. */
export interface FarmSurvey {
  /** In order of instance and requirement. */
  readonly queues: readonly WorkQueueReport[];
  readonly bots: readonly BotSession[];
  readonly drains: readonly DrainPattern[];
}

/** Sessions read at once. */
const PAGE = 1_000;

/** Tells an operator what waits, and why. */
export class WorkQueueOverview {
  readonly #options: WorkQueueOverviewOptions;

  constructor(options: WorkQueueOverviewOptions) {
    this.#options = options;
  }

  /**
   * The queues that have work, were used of late or are paused, in order of instance and requirement.
   *
   * @param instanceName undefined for all instances.
   * @throws UNAVAILABLE with RetryInfo when store or broker can't be reached.
   */
  async list(instanceName: string | undefined, signal: AbortSignal): Promise<readonly WorkQueueReport[]> {
    return (await this.survey(instanceName, signal)).queues;
  }

  /** The same, with the bots that it was told from. */
  async survey(instanceName: string | undefined, signal: AbortSignal): Promise<FarmSurvey> {
    const { jobs, sessions, broker } = this.#options;
    const [states, waiting, bots, drains] = await Promise.all([
      broker.queues(signal),
      jobs.waiting(signal),
      this.#bots(instanceName, signal),
      sessions.drains(signal),
    ]);
    const names = new Map<string, WorkQueueName>();
    for (const { queue } of [...states, ...waiting]) {
      if (instanceName === undefined || queue.instanceName === instanceName) names.set(workQueueKey(queue), queue);
    }
    const stateOf = new Map(states.map((each) => [workQueueKey(each.queue), each]));
    const waitingIn = new Map(waiting.map((each) => [workQueueKey(each.queue), each]));
    const capabilities = new Map(bots.map((each) => [each, createCapability(each.properties)]));
    const queues = [...names].sort(byKey).map(([key, queue]): WorkQueueReport => {
      const state = stateOf.get(key);
      const waits = waitingIn.get(key);
      const ofInstance = bots.filter((bot) => bot.instanceName === queue.instanceName);
      const fitting = ofInstance.filter((bot) => fits(queue.requirement, capabilities.get(bot) ?? new Map()));
      const paused = state?.paused ?? false;
      const messages = state?.waiting ?? 0;
      const report = { queue, paused, messages, ofInstance, fitting, drains };
      return {
        instanceName: queue.instanceName,
        requirement: queue.requirement,
        paused,
        waitingJobs: waits?.jobs ?? 0,
        oldestQueuedAt: waits?.oldestQueuedAt,
        waitingMessages: messages,
        fittingBots: fitting.length,
        idleSlots: fitting.reduce((sum, bot) => sum + idleSlots(bot, drains), 0),
        reason: waits === undefined ? '' : reasonToWait(report),
      };
    });
    return { queues, bots, drains };
  }

  async #bots(instanceName: string | undefined, signal: AbortSignal): Promise<readonly BotSession[]> {
    const bots: BotSession[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await this.#options.sessions.list(instanceName, PAGE, after, signal);
      bots.push(...page);
      if (page.length < PAGE) return bots;
      after = page.at(-1)?.name;
    }
  }
}

interface Circumstances {
  readonly queue: { readonly instanceName: string; readonly requirement: Requirement };
  readonly paused: boolean;
  readonly messages: number;
  readonly ofInstance: readonly BotSession[];
  readonly fitting: readonly BotSession[];
  readonly drains: readonly DrainPattern[];
}

/** The weightiest reason: what must change first. */
function reasonToWait({ queue, paused, messages, ofInstance, fitting, drains }: Circumstances): string {
  if (paused) return 'the queue is paused';
  const offers = ofInstance.map((each) => each.properties);
  const unmet = describeUnmet(queue.requirement, queue.instanceName, offers);
  if (unmet !== undefined) return unmet;
  const well = fitting.filter(({ health }) => health === 'ok');
  if (well.length === 0) return `no bot that fits is well (${countOf(fitting.length, 'bot')})`;
  const open = well.filter((bot) => !isDrained(drains, bot.botId, bot.name));
  if (open.length === 0) return `every bot that fits is drained (${countOf(well.length, 'bot')})`;
  if (open.every((bot) => idleSlots(bot, drains) === 0)) {
    const slots = open.reduce((sum, bot) => sum + bot.capacity, 0);
    return `every bot that fits is busy (${countOf(open.length, 'bot')}, ${countOf(slots, 'lease')})`;
  }
  if (messages === 0) return 'its messages are lost; it will be offered again, or ended, as scheduling.lostWork says';
  return 'it is being handed out';
}

function idleSlots(bot: BotSession, drains: readonly DrainPattern[]): number {
  if (bot.health !== 'ok' || isDrained(drains, bot.botId, bot.name)) return 0;
  return Math.max(0, bot.capacity - bot.leaseIds.length);
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
