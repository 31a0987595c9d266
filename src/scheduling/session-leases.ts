import type { BotSession } from '../domain/bot-session.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';

/**
 * What a session holds in the store, as one call of its bot changes it.
 *
 * A lease that is over is struck in the same step in which the next is added, since a busy bot's calls do both. One that
 * is left standing, because the call broke off, does no harm: the next call finds that it is over.
 */
export class SessionLeases {
  readonly session: BotSession;
  readonly #sessions: Pick<BotSessionStore, 'changeLeases'>;
  readonly #over: string[];

  /** @param over ids of leases that are to be struck. */
  constructor(sessions: Pick<BotSessionStore, 'changeLeases'>, session: BotSession, over: readonly string[]) {
    this.session = session;
    this.#sessions = sessions;
    this.#over = [...over];
  }

  /** Adds a lease. @returns whether the session took it: not when the bot has called again meanwhile, or is full. */
  add(id: string, signal: AbortSignal): Promise<boolean> {
    return this.#change([id], signal);
  }

  /** Notes that a lease is over, or came to nothing. */
  strike(id: string): void {
    this.#over.push(id);
  }

  /** Strikes what is still standing of what is over. */
  async flush(signal: AbortSignal): Promise<void> {
    if (this.#over.length > 0) await this.#change([], signal);
  }

  #change(added: readonly string[], signal: AbortSignal): Promise<boolean> {
    const { name, pollId } = this.session;
    return this.#sessions.changeLeases(name, pollId, added, this.#over.splice(0), signal);
  }
}
