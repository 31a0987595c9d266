import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';

/** A bot's call that is being answered. Its signals are made when first looked at: most calls never wait. */
export class BotPoll implements Disposable {
  readonly id: string;
  readonly #onClose: (poll: BotPoll) => void;
  #superseded: AbortController | undefined;
  #woken: AbortController | undefined;

  constructor(id: string, onClose: (poll: BotPoll) => void) {
    this.id = id;
    this.#onClose = onClose;
  }

  /** Aborted when the bot makes another call meanwhile: this one speaks for it no more. */
  get superseded(): AbortSignal {
    this.#superseded ??= new AbortController();
    return this.#superseded.signal;
  }

  /** Aborted when there is something to tell the bot, such as the end of a lease. */
  get woken(): AbortSignal {
    this.#woken ??= new AbortController();
    return this.#woken.signal;
  }

  supersede(): void {
    this.#superseded ??= new AbortController();
    this.#superseded.abort(
      new StatusError(StatusCode.ABORTED, 'another call speaks for the bot, or its session has ended'),
    );
  }

  wake(): void {
    this.#woken ??= new AbortController();
    this.#woken.abort();
  }

  [Symbol.dispose](): void {
    this.#onClose(this);
  }
}

/** The calls of bots that this replica is answering, by session. */
export class PollRegistry {
  readonly #polls = new Map<string, BotPoll>();

  /** Begins a call; an earlier one of the same session that still waits ends with ABORTED. */
  begin(sessionName: string, pollId: string): BotPoll {
    this.#polls.get(sessionName)?.supersede();
    const poll = new BotPoll(pollId, (closed) => {
      if (this.#polls.get(sessionName) === closed) this.#polls.delete(sessionName);
    });
    this.#polls.set(sessionName, poll);
    return poll;
  }

  /** The bot has made another call at another replica. A call that is younger than the one named goes on. */
  supersede(sessionName: string, pollId: string): void {
    const poll = this.#polls.get(sessionName);
    if (poll?.id === pollId) poll.supersede();
  }

  /** Has the bot's call, if one waits here, answered now. @returns whether one did. */
  wake(sessionName: string): boolean {
    const poll = this.#polls.get(sessionName);
    poll?.wake();
    return poll !== undefined;
  }
}
