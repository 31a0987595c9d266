import { type BotSession, isDrained } from '../domain/bot-session.ts';
import { leaseId } from '../domain/lease.ts';
import { type Capability, createCapability, createRequirement } from '../domain/platform.ts';
import { workQueueKey } from '../domain/work.ts';
import { deadlineSignal } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import { LruMap } from '../lib/lru-map.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { Broker, WorkDelivery, WorkInterest } from '../ports/broker.ts';
import type { EffectRunner } from './effect-runner.ts';
import type { LeasedJobs } from './leased-jobs.ts';
import type { BotPoll } from './poll-registry.ts';
import { freshLease, type HeldLease } from './reconciling.ts';
import type { SessionLeases } from './session-leases.ts';
import type { SchedulingSettings } from './settings.ts';

export interface AssigningOptions {
  readonly sessions: BotSessionStore;
  readonly broker: Broker;
  readonly effects: EffectRunner;
  readonly leased: LeasedJobs;
  readonly clock: Clock;
  readonly settings: SchedulingSettings;
}

/** Different sets of properties whose capabilities are kept ready. */
const CAPABILITIES_KEPT = 10_000;

/**
 * Gives work to a bot: the session takes the lease first, then the job, so that a bot that has called again meanwhile,
 * or is full, costs no attempt; then the message is acknowledged.
 */
export class Assigning {
  readonly #options: AssigningOptions;
  readonly #never = new AbortController().signal;
  readonly #capabilities = new LruMap<string, Capability>(CAPABILITIES_KEPT);

  constructor(options: AssigningOptions) {
    this.#options = options;
  }

  /** What waits now, `room` jobs at most. */
  async takeReady(leases: SessionLeases, room: number, signal: AbortSignal): Promise<HeldLease[]> {
    const taken: HeldLease[] = [];
    if (await this.#isClosed(leases.session)) return taken;
    const interest = this.#interest(leases.session);
    while (taken.length < room) {
      const delivery = await this.#options.broker.takeNow(interest, signal);
      if (delivery === undefined) break;
      const lease = await this.#place(leases, delivery, signal);
      if (lease === 'refused') break;
      if (lease !== 'void') taken.push(lease);
    }
    return taken;
  }

  /** Waits for work, and takes what else waits once there is some. Empty when the time is over or the poll is woken. */
  async waitFor(
    leases: SessionLeases,
    room: number,
    poll: BotPoll,
    draining: AbortSignal,
    milliseconds: number,
    signal: AbortSignal,
  ): Promise<HeldLease[]> {
    using bounded = deadlineSignal(this.#options.clock, milliseconds, signal, poll.superseded, poll.woken, draining);
    const { broker } = this.#options;
    const { session } = leases;
    try {
      if (await this.#isClosed(session)) {
        await untilAborted(bounded.signal);
        return [];
      }
      const interest = this.#interest(session);
      for (;;) {
        const delivery = await broker.takeNext(interest, bounded.signal);
        const lease = await this.#place(leases, delivery, signal);
        if (lease === 'refused') return [];
        if (lease !== 'void') return [lease, ...(await this.takeReady(leases, room - 1, signal))];
      }
    } catch (cause) {
      if (!bounded.signal.aborted) throw cause;
      signal.throwIfAborted();
      poll.superseded.throwIfAborted();
      return [];
    }
  }

  async #place(
    leases: SessionLeases,
    delivery: WorkDelivery,
    signal: AbortSignal,
  ): Promise<HeldLease | 'void' | 'refused'> {
    const { effects, leased, settings } = this.#options;
    const { work } = delivery;
    const { session } = leases;
    const id = leaseId(work.jobId, work.attempt);
    try {
      // The bot may have been drained while it waited.
      if (signal.aborted || (await this.#isClosed(session)) || !(await leases.add(id, signal))) {
        delivery.giveBack();
        return 'refused';
      }
      const applied = await effects.apply(
        work.jobId,
        {
          type: 'lease',
          attempt: work.attempt,
          botId: session.botId,
          botSessionName: session.name,
          leaseMilliseconds: settings.leaseTime,
        },
        signal,
      );
      delivery.acknowledge();
      if (applied?.accepted === true && applied.job !== undefined) {
        if (workQueueKey(applied.job) === workQueueKey(work)) {
          leased.add(applied.job);
          return freshLease(applied.job);
        }
        // The message said otherwise than the store, and the bot was chosen by the message.
        const reason = 'its work message named another queue';
        await effects.apply(
          work.jobId,
          { type: 'give-back', attempt: work.attempt, botId: session.botId, reason },
          signal,
        );
      }
      leases.strike(id);
      return 'void';
    } catch (cause) {
      delivery.giveBack();
      throw cause;
    }
  }

  /** Whether the bot is to get nothing new. */
  async #isClosed(session: BotSession): Promise<boolean> {
    if (session.health !== 'ok') return true;
    const drains = await this.#options.sessions.drains(this.#never);
    return drains.length > 0 && isDrained(drains, session.botId, session.name);
  }

  /** Equal bots share one capability value, so that the broker knows them as one class at a glance. */
  #interest(session: BotSession): WorkInterest {
    const { key } = createRequirement(session.properties);
    let capability = this.#capabilities.get(key);
    if (capability === undefined) {
      capability = createCapability(session.properties);
      this.#capabilities.set(key, capability);
    }
    return { instanceName: session.instanceName, capability };
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
