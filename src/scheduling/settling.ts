import type { Clock, Timer } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { JobStore } from '../ports/job-store.ts';

export interface SettlingOptions {
  readonly jobs: Pick<JobStore, 'settle'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long an effect that was carried out stays owed, in milliseconds: well below the time after which it is redone. */
const SETTLED_WITHIN = 500;

/** Jobs that wait to be settled; beyond, they are settled early. */
const MOST_WAITING = 5_000;

/**
 * Tells the store, for many jobs at once, that what they owed was carried out.
 *
 * Nobody waits for it, and most jobs of a busy farm are leased within the time, after which they owe nothing: those
 * whose lease passes through this replica are not settled at all. What a replica takes with it when it dies is carried
 * out once more, and a message that comes twice does no harm.
 */
export class Settling {
  readonly #options: SettlingOptions;
  readonly #never = new AbortController().signal;
  /** Versions by job. */
  readonly #waiting = new Map<string, number>();
  #timer: Timer | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(options: SettlingOptions) {
    this.#options = options;
  }

  /** What the change that made this version owed was carried out. */
  add(jobId: string, version: number): void {
    this.#waiting.set(jobId, version);
    if (this.#waiting.size >= MOST_WAITING) this.#flushLater();
    this.#timer ??= this.#options.clock.setTimer(SETTLED_WITHIN, () => this.#flushLater());
  }

  /** The job was leased, and owes no offer any more. */
  drop(jobId: string): void {
    this.#waiting.delete(jobId);
  }

  /** Settles what waits, and whatever is under way. */
  async flush(): Promise<void> {
    this.#flushLater();
    await this.#flushing;
  }

  #flushLater(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#waiting.size === 0) return;
    const carriedOut = [...this.#waiting].map(([jobId, version]) => ({ jobId, version }));
    this.#waiting.clear();
    const { jobs, logger } = this.#options;
    const settled = jobs.settle(carriedOut, this.#never).catch((cause: unknown) => {
      logger.warn({ jobs: carriedOut.length, err: cause }, 'could not settle what was carried out; it will be redone');
    });
    this.#flushing = Promise.all([this.#flushing, settled]).then(() => {});
  }
}
