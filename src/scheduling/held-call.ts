import type { BotSession } from '../domain/bot-session.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { BotPoll } from './poll-registry.ts';
import type { HeldLease, Reconciling } from './reconciling.ts';
import type { SchedulingSettings } from './settings.ts';

export interface HeldCallOptions {
  readonly sessions: BotSessionStore;
  readonly reconciling: Reconciling;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: SchedulingSettings;
}

/** Renewals within a lease time: one may be late, one may fail. */
const RENEWALS_PER_LEASE_TIME = 3;

/**
 * A bot's call that waits for work. As long as it is held the bot counts as being heard of, and no longer: were the wait
 * added to the lease time when the call came, the work of a bot that is lost in it would stand still for both.
 */
export class HeldCall implements Disposable {
  readonly #options: HeldCallOptions;
  readonly #leases: readonly HeldLease[];
  readonly #poll: BotPoll;
  readonly #never = new AbortController().signal;
  #session: BotSession;
  #timer: Timer | undefined;
  #ended = false;

  /**
   * @param leases those of the bot that go on meanwhile.
   * @param poll woken when one of them turns out to be over, and ended when another call speaks for the bot, should the
   *   word of it have been lost.
   */
  constructor(session: BotSession, leases: readonly HeldLease[], poll: BotPoll, options: HeldCallOptions) {
    this.#session = session;
    this.#leases = leases;
    this.#poll = poll;
    this.#options = options;
    this.#arm();
  }

  /** The session, with the end that the last renewal gave it. */
  get session(): BotSession {
    return this.#session;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#ended) return;
    const { clock, settings, logger } = this.#options;
    this.#timer = clock.setTimer(settings.leaseTime / RENEWALS_PER_LEASE_TIME, () => {
      this.#renew()
        .catch((cause: unknown) => {
          logger.warn({ session: this.#session.name, err: cause }, 'could not renew a bot session; the next try may');
        })
        .finally(() => this.#arm());
    });
  }

  async #renew(): Promise<void> {
    const { sessions, settings, reconciling } = this.#options;
    const { name, pollId } = this.#session;
    const expiresAt = await sessions.extend(name, pollId, settings.leaseTime, this.#never);
    if (expiresAt === undefined) {
      // Word of it may have been lost, or was not sent: the call seemed to be answered.
      this.#ended = true;
      this.#poll.supersede();
      return;
    }
    this.#session = { ...this.#session, expiresAt };
    for (const { id } of this.#leases) {
      const job = await reconciling.renewUnheard(this.#session, id, this.#never);
      if (job === undefined) this.#poll.wake();
    }
  }
}
