import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { type LinkedSignal, linkSignals } from '../lib/abort.ts';
import { backoffDelay } from '../lib/backoff.ts';
import { type Clock, sleep } from '../lib/clock.ts';
import type { Random } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import type { BotReport, BotSessionReply, BotsClient } from '../ports/bots-client.ts';
import type { HeldLeases } from './held-leases.ts';

/** The call's deadline: the server waits for work for a part of it. */
const LONGEST_POLL_MILLISECONDS = 30_000;
/** Servers give no work to a call that ends before they can be sure that its answer arrives: Warren's within 3 seconds. */
const SHORTEST_POLL_MILLISECONDS = 4_000;
/** The deadline of a bot that takes nothing new. */
const FAREWELL_MILLISECONDS = 1_000;
/**
 * The deadline of CreateBotSession: too short for servers to hold the call, so that the session's name is known at once
 * and a bot that is stopped can say goodbye.
 */
const CREATE_MILLISECONDS = 2_900;
/** Used where the server's expire_time is unset, or lies in the past because the clocks differ. */
const BLIND_POLL_MILLISECONDS = 10_000;
/** A call that took this long was held by the server, so that the next may follow at once. */
const HELD_MILLISECONDS = 250;
const IDLE_PAUSE_MILLISECONDS = 250;
const BUSY_PAUSE_MILLISECONDS = 1_000;
/** Short actions end within this time: one call less for each, since nothing can be handed to a full bot anyway. */
const FULL_PAUSE_MILLISECONDS = 20;
/** News do not break off a call that is younger: its answer is about to come, perhaps with leases in it. */
const YOUNG_CALL_MILLISECONDS = 4;

/** Codes of a call that no server has answered. */
const UNREACHABLE: ReadonlySet<number> = new Set([StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED]);

/** Codes by which a server says that the session is none of its own: the bot opens a new one. */
const SESSION_LOST: ReadonlySet<number> = new Set([
  StatusCode.INVALID_ARGUMENT,
  StatusCode.NOT_FOUND,
  StatusCode.DATA_LOSS,
  StatusCode.FAILED_PRECONDITION,
]);

/** Why a call was broken off by the bot itself: it has something to report. */
const NEWS = new Error('the bot has news');

/** What a bot is to its server. */
export interface BotIdentity {
  /** The instance. */
  readonly parent: string;
  readonly botId: string;
  readonly properties: BotReport['properties'];
  readonly capacity: number;
  readonly version: string;
  /** Asked before each call. While it is false the server gives no work. */
  healthy(): boolean;
}

/**
 * The conversation of a bot with its server.
 *
 * One call at a time, as RWAPI wants it: the bot reports all its leases, and the answer, which the server holds back
 * until there is work, says what it shall do. As soon as a lease has ended the pending call is broken off and a new
 * one sent, so that no result ever waits for a poll. Every report is the whole truth, so that a lost call or answer
 * costs nothing but time.
 *
 * When the server can't be reached, leases go on, and are reported once it is back. When the server no longer knows the
 * session its leases are lost, too (it has handed them to others): they are killed, and a new session is opened.
 */
export class BotSession {
  readonly #client: BotsClient;
  readonly #identity: BotIdentity;
  readonly #leases: HeldLeases;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  #name: string | undefined;
  #expireTime: number | undefined;
  #draining = false;
  #healthy = true;
  #news = false;
  #failures = 0;
  /** What the bot does right now and may be woken from. */
  #interrupt: (() => void) | undefined;

  constructor(
    client: BotsClient,
    identity: BotIdentity,
    leases: HeldLeases,
    clock: Clock,
    random: Random,
    logger: Logger,
  ) {
    this.#client = client;
    this.#identity = identity;
    this.#leases = leases;
    this.#clock = clock;
    this.#random = random;
    this.#logger = logger;
    leases.onNews(() => this.#tell());
  }

  /** The session's name; undefined while there is none. */
  get name(): string | undefined {
    return this.#name;
  }

  /** Takes no more leases; `run` ends once those that run have ended and are reported. */
  drain(): void {
    this.#draining = true;
    this.#leases.refuseNew();
    this.#tell();
  }

  /** Talks until it is drained, or at once until the signal is aborted, which kills all leases. */
  async run(signal: AbortSignal): Promise<void> {
    const onAbort = () => this.#leases.killAll();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal.aborted) {
        const farewell = this.#draining && this.#leases.size === 0;
        if (farewell && this.#name === undefined) return;
        const pause = await this.#exchange(signal);
        if (farewell) return;
        if (pause > 0) await this.#pause(pause, signal);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#leases.killAll();
      await this.#leases.settled();
    }
  }

  /** One call. @returns milliseconds to pause; 0 when the call was broken off or failed, too. */
  async #exchange(signal: AbortSignal): Promise<number> {
    using call = linkSignals(signal);
    this.#news = false;
    const started = this.#clock.monotonic();
    const young = this.#armInterrupt(call);
    try {
      const fresh = this.#name === undefined;
      const reply = await this.#call(call.signal);
      if (this.#failures > 0) this.#logger.info({ session: reply.name }, 'the server can be reached again');
      this.#failures = 0;
      const pause = this.#take(reply, this.#clock.monotonic() - started);
      return fresh && this.#leases.size === 0 ? 0 : pause;
    } catch (thrown) {
      if (signal.aborted || call.signal.reason === NEWS) return 0;
      await this.#fail(StatusError.from(thrown), signal);
      return 0;
    } finally {
      this.#interrupt = undefined;
      young.cancel();
    }
  }

  #armInterrupt(call: LinkedSignal) {
    let young = true;
    const breakOff = () => call.abort(NEWS);
    const timer = this.#clock.setTimer(YOUNG_CALL_MILLISECONDS, () => {
      young = false;
      if (this.#news) breakOff();
    });
    this.#interrupt = () => {
      if (!young) breakOff();
    };
    return timer;
  }

  async #call(signal: AbortSignal): Promise<BotSessionReply> {
    const report = this.#report();
    if (this.#name !== undefined) {
      return this.#client.updateSession(this.#name, report, this.#pollMilliseconds(), signal);
    }
    const reply = await this.#client.createSession(this.#identity.parent, report, CREATE_MILLISECONDS, signal);
    this.#logger.info({ session: reply.name, botId: this.#identity.botId }, 'bot session opened');
    return reply;
  }

  #report(): BotReport {
    return {
      botId: this.#identity.botId,
      status: this.#status(),
      properties: this.#identity.properties,
      capacity: this.#identity.capacity,
      version: this.#identity.version,
      leases: this.#leases.report(),
      partialExecutionMetadata: this.#leases.partialMetadata(),
    };
  }

  #status(): BotReport['status'] {
    if (this.#draining) return 'bot-terminating';
    const healthy = this.#identity.healthy();
    if (healthy !== this.#healthy) {
      this.#healthy = healthy;
      if (healthy) this.#logger.info({}, 'the worker is well again');
      else this.#logger.warn({}, "the worker's disk is full; it takes no work until there is room");
    }
    return healthy ? 'ok' : 'unhealthy';
  }

  /**
   * A poll ends well before the session expires, so that a lost answer does not cost the session; unless sessions are so
   * short, or clocks so far apart, that nothing would be given in the time left.
   */
  #pollMilliseconds(): number {
    if (this.#draining) return FAREWELL_MILLISECONDS;
    if (this.#expireTime === undefined) return LONGEST_POLL_MILLISECONDS;
    const half = (this.#expireTime - this.#clock.now()) / 2;
    if (!(half > 0)) return BLIND_POLL_MILLISECONDS;
    return Math.min(Math.max(half, SHORTEST_POLL_MILLISECONDS), LONGEST_POLL_MILLISECONDS);
  }

  #take(reply: BotSessionReply, tookMilliseconds: number): number {
    this.#name = reply.name;
    this.#expireTime = reply.expireTime;
    const { started, ended } = this.#leases.reconcile(reply.leases);
    if (this.#news) return 0;
    const full = this.#leases.size >= this.#identity.capacity;
    if (started > 0) return full ? FULL_PAUSE_MILLISECONDS : 0;
    if (ended > 0 || tookMilliseconds >= HELD_MILLISECONDS) return 0;
    return full || this.#draining || !this.#healthy ? BUSY_PAUSE_MILLISECONDS : IDLE_PAUSE_MILLISECONDS;
  }

  async #fail(error: StatusError, signal: AbortSignal): Promise<void> {
    if (error.code === StatusCode.DEADLINE_EXCEEDED && this.#failures === 0) {
      this.#failures += 1;
      return;
    }
    this.#failures += 1;
    const lost = SESSION_LOST.has(error.code) && this.#name !== undefined;
    if (lost) {
      this.#logger.warn({ err: error, session: this.#name }, 'the server has ended the bot session; opening another');
      this.#name = undefined;
      this.#expireTime = undefined;
      this.#leases.killAll();
      if (this.#failures === 1) return;
    } else if (this.#failures === 1 || this.#failures % 20 === 0) {
      const what = UNREACHABLE.has(error.code) ? 'can not be reached' : 'refuses the bot session';
      this.#logger.warn({ err: error, failures: this.#failures }, `the server ${what}; trying on`);
    }
    const asked = error.details.find((detail) => detail.kind === 'retry-info')?.retryDelayMilliseconds ?? 0;
    const delay = Math.max(
      Math.min(asked, LONGEST_POLL_MILLISECONDS),
      backoffDelay(this.#failures, this.#random, BACKOFF),
    );
    await sleepUnlessAborted(this.#clock, delay, signal);
  }

  /** Waits; news end it. */
  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (this.#news) return;
    using link = linkSignals(signal);
    this.#interrupt = () => link.abort(NEWS);
    await sleepUnlessAborted(this.#clock, milliseconds, link.signal);
    this.#interrupt = undefined;
  }

  #tell(): void {
    this.#news = true;
    this.#interrupt?.();
  }
}

const BACKOFF = { initial: 100, maximum: 5_000 };

async function sleepUnlessAborted(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(clock, milliseconds, signal);
  } catch {
    // Aborted: whoever waits looks at the signal.
  }
}
