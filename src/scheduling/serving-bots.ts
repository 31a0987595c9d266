import type { BotHealth, BotReport, BotSession } from '../domain/bot-session.ts';
import type { Property } from '../domain/platform.ts';
import { unavailable } from '../domain/status-error.ts';
import type { Clock } from '../lib/clock.ts';
import type { IdGenerator } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { Assigning } from './assigning.ts';
import type { BotSessions } from './bot-sessions.ts';
import { HeldCall } from './held-call.ts';
import type { BotPoll, PollRegistry } from './poll-registry.ts';
import type { HeldLease, Reconciling, ReportedLease } from './reconciling.ts';
import { SessionLeases } from './session-leases.ts';
import type { SchedulingSettings } from './settings.ts';

/** A bot's call, checked. */
export interface BotCall {
  readonly botId: string;
  readonly health: BotHealth;
  readonly properties: readonly Property[];
  readonly capacity: number;
  readonly leases: readonly ReportedLease[];
  /** How long the bot still waits for the answer; undefined where it sets no deadline. */
  readonly remainingMilliseconds: number | undefined;
  /** Ends the wait, not the call: the replica drains. */
  readonly draining: AbortSignal;
}

/** What the bot is told. */
export interface BotAnswer {
  readonly session: BotSession;
  readonly leases: readonly HeldLease[];
}

export interface ServingBotsOptions {
  readonly sessions: BotSessionStore;
  readonly botSessions: BotSessions;
  readonly reconciling: Reconciling;
  readonly assigning: Assigning;
  readonly polls: PollRegistry;
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly logger: Logger;
  readonly replicaId: string;
  readonly settings: SchedulingSettings;
}

/** The part of a caller's deadline that a call may be held: the answer must be there in time. */
const HELD_FRACTION = 0.8;

/** A call with less time than this, in milliseconds, is not held, and is given no work that it might not hear of. */
const SHORTEST_HELD_DEADLINE = 3_000;

/**
 * New leases in one answer: a trailer tells of each, and clients take 8 KiB of trailers unless told otherwise. A bot with
 * more room calls again at once.
 */
const MOST_NEW_LEASES = 12;

/** When a bot that is sent away should come again, in milliseconds. */
const DRAINING_RETRY_DELAY = 100;

/** A bot's call, once its session and leases are known. */
interface Turn {
  readonly session: BotSession;
  readonly call: BotCall;
  readonly poll: BotPoll;
  /** How long the call may be held, in milliseconds. */
  readonly wait: number;
  readonly held: readonly HeldLease[];
  readonly leases: SessionLeases;
  /** Whether the bot waits to hear that something it reported was taken in. */
  readonly hasNews: boolean;
}

/** The life of a bot's call: renew the session, reconcile its leases, give it work, hold it while there is none. */
export class ServingBots {
  readonly #options: ServingBotsOptions;

  constructor(options: ServingBotsOptions) {
    this.#options = options;
  }

  /** A bot's first call. It may hold leases of an earlier session: they are void, and left out of the answer. */
  async create(instanceName: string, call: BotCall, signal: AbortSignal): Promise<BotAnswer> {
    const { botSessions, sessions, polls } = this.#options;
    const wait = this.#waitFor(call);
    const session = await botSessions.create(instanceName, call.botId, this.#report(call), signal);
    using poll = polls.begin(session.name, session.pollId);
    const leases = new SessionLeases(sessions, session, []);
    return await this.#answer({ session, call, poll, wait, held: [], leases, hasNews: false }, signal);
  }

  /**
   * @throws as `BotSessions.touch`; ABORTED when the bot makes another call while this one waits; UNAVAILABLE with
   *   RetryInfo when the replica drains and there is nothing to tell: another replica serves the bot as well.
   */
  async update(name: string, call: BotCall, signal: AbortSignal): Promise<BotAnswer> {
    const { botSessions, reconciling, sessions, polls } = this.#options;
    const wait = this.#waitFor(call);
    const leaving = call.leases.length === 0 && (call.health === 'terminating' || call.health === 'host-rebooting');
    const session = await botSessions.touch(name, call.botId, this.#report(call), leaving, signal);
    using poll = polls.begin(name, session.pollId);
    const { held, dropped, completedAny } = await reconciling.reconcile(session, call.leases, signal);
    const hasNews = completedAny || dropped.length > 0;
    const leases = new SessionLeases(sessions, session, dropped);
    return await this.#answer({ session, call, poll, wait, held, leases, hasNews }, signal);
  }

  async #answer(turn: Turn, signal: AbortSignal): Promise<BotAnswer> {
    const { assigning, settings, reconciling } = this.#options;
    const { session, call, poll, wait, held, leases, hasNews } = turn;
    const unchanged: BotAnswer = { session, leases: held };
    const room = Math.min(session.capacity - held.length, MOST_NEW_LEASES);
    const resent = held.some((each) => !call.leases.some(({ id }) => id === each.id));
    const closed = wait === 0 || room <= 0 || resent || session.health !== 'ok';
    const mayAssign = !closed && !call.draining.aborted && (!hasNews || settings.assignOnCompletion);

    const ready = mayAssign ? await assigning.takeReady(leases, room, signal) : [];
    await leases.flush(signal);
    if (ready.length > 0) return { session, leases: [...held, ...ready] };
    // What the bot reported must be answered now, not when work comes.
    if (closed || hasNews || (held.length > 0 && !settings.longPollWhileBusy)) return unchanged;

    using holding = new HeldCall(session, held, poll, this.#options);
    const fresh = await assigning.waitFor(leases, room, poll, call.draining, wait, signal);
    await leases.flush(signal);
    if (poll.woken.aborted) {
      // A lease ended: the answer leaves it out.
      const again = await reconciling.reconcile(session, call.leases, signal);
      return { session: holding.session, leases: [...again.held, ...fresh] };
    }
    if (call.draining.aborted && held.length + fresh.length === 0) {
      throw unavailable('this replica is shutting down; another serves this session', DRAINING_RETRY_DELAY);
    }
    return { session: holding.session, leases: [...held, ...fresh] };
  }

  #report(call: BotCall): BotReport {
    return {
      health: call.health,
      properties: call.properties,
      capacity: call.capacity,
      pollId: this.#options.ids.uuid(),
      replicaId: this.#options.replicaId,
    };
  }

  /** How long the call may be held; 0 for not at all. */
  #waitFor(call: BotCall): number {
    const { defaultPollDeadline, maxPollDeadline } = this.#options.settings;
    const deadline = Math.min(call.remainingMilliseconds ?? defaultPollDeadline, maxPollDeadline);
    return deadline < SHORTEST_HELD_DEADLINE ? 0 : deadline * HELD_FRACTION;
  }
}
