import { isFinished, type Job } from '../domain/job.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { JobStore } from '../ports/job-store.ts';
import { type SchedulingSettings, WATCH_LIFE_IN_REFRESHES } from './settings.ts';

/** What a watcher is woken with: a newer job, nothing new within the time given, or the record's end. */
export type WatchNews = 'changed' | 'idle' | 'gone';

export interface WatchHubOptions {
  readonly jobs: JobStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly replicaId: string;
  readonly settings: SchedulingSettings;
}

/** How many watches are refreshed in one call of the store. */
const REFRESH_BATCH = 500;

/**
 * The jobs that this replica's clients follow.
 *
 * Watchers see the latest state and skip those between if they are slow: nothing piles up behind a slow client.
 */
export class WatchHub {
  readonly #options: WatchHubOptions;
  readonly #watches = new Map<string, Set<JobWatch>>();
  readonly #never = new AbortController().signal;

  constructor(options: WatchHubOptions) {
    this.#options = options;
  }

  /** How long the store believes a watch of this replica. */
  get watchMilliseconds(): number {
    return this.#options.settings.watchRefreshInterval * WATCH_LIFE_IN_REFRESHES;
  }

  /** Begins to follow a job. Feed it what is known of the job afterwards, so that no change falls in between. */
  open(jobId: string): JobWatch {
    const watch = new JobWatch(this.#options.clock, (closed) => this.#close(jobId, closed));
    const watches = this.#watches.get(jobId);
    if (watches === undefined) this.#watches.set(jobId, new Set([watch]));
    else watches.add(watch);
    return watch;
  }

  /** Tells this replica's watchers. What is older than they know is dropped. */
  jobChanged(job: Job): void {
    for (const watch of this.#watches.get(job.id) ?? []) watch.feed(job);
  }

  /** Another replica says that the job changed: reads it, if anyone here follows it. */
  async jobChangedElsewhere(jobId: string, version: number): Promise<void> {
    const watches = this.#watches.get(jobId);
    if (watches === undefined || [...watches].every((each) => each.version >= version)) return;
    const job = await this.#options.jobs.get(jobId, this.#never);
    if (job === undefined) this.jobGone(jobId);
    else this.jobChanged(job);
  }

  /** Says that this replica still follows its jobs, and catches up with what it missed. */
  async refresh(): Promise<void> {
    const all = [...this.#watches].map(([jobId, watches]) => {
      let version = Number.MAX_SAFE_INTEGER;
      for (const watch of watches) if (watch.version < version) version = watch.version;
      return { jobId, version };
    });
    const watch = { replicaId: this.#options.replicaId, milliseconds: this.watchMilliseconds };
    for (let i = 0; i < all.length; i += REFRESH_BATCH) {
      const batch = all.slice(i, i + REFRESH_BATCH);
      const { changed, gone } = await this.#options.jobs.refreshWatches(batch, watch, this.#never);
      for (const job of changed) this.jobChanged(job);
      for (const jobId of gone) this.jobGone(jobId);
    }
  }

  /** The record was forgotten: its watchers' calls end. */
  jobGone(jobId: string): void {
    for (const watch of this.#watches.get(jobId) ?? []) watch.forget();
  }

  #close(jobId: string, closed: JobWatch): void {
    const watches = this.#watches.get(jobId);
    if (watches === undefined || !watches.delete(closed) || watches.size > 0) return;
    this.#watches.delete(jobId);
    if (closed.latest === undefined || isFinished(closed.latest)) return;
    const { jobs, logger, replicaId } = this.#options;
    // A failure costs no more than the time that the watch is believed anyway.
    jobs.apply(jobId, { type: 'unwatch', replicaId }, this.#never).catch((cause: unknown) => {
      logger.warn({ jobId, err: cause }, 'could not say that a job is no longer streamed');
    });
  }
}

/** One client's view of a job. Dispose of it when the client's call ends. */
export class JobWatch implements Disposable {
  readonly #clock: Clock;
  readonly #onClose: (watch: JobWatch) => void;
  #latest: Job | undefined;
  #fresh = false;
  #gone = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock, onClose: (watch: JobWatch) => void) {
    this.#clock = clock;
    this.#onClose = onClose;
  }

  /** The youngest state that has come in. */
  get latest(): Job | undefined {
    return this.#latest;
  }

  /** Its version; 0 before the first. */
  get version(): number {
    return this.#latest?.version ?? 0;
  }

  feed(job: Job): void {
    if (job.version <= this.version) return;
    this.#latest = job;
    this.#fresh = true;
    this.#wake?.();
  }

  forget(): void {
    this.#gone = true;
    this.#wake?.();
  }

  /** Waits for news, `milliseconds` at most. @throws the signal's reason. */
  next(milliseconds: number, signal: AbortSignal): Promise<WatchNews> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const ready = this.#takeNews();
    if (ready !== undefined) return Promise.resolve(ready);
    return new Promise((resolve, reject) => {
      const done = () => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        this.#wake = undefined;
      };
      const onAbort = () => {
        done();
        reject(signal.reason);
      };
      const timer = this.#clock.setTimer(milliseconds, () => {
        done();
        resolve('idle');
      });
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake = () => {
        done();
        resolve(this.#takeNews() ?? 'idle');
      };
    });
  }

  [Symbol.dispose](): void {
    this.#onClose(this);
  }

  #takeNews(): WatchNews | undefined {
    if (this.#fresh) {
      this.#fresh = false;
      return 'changed';
    }
    return this.#gone ? 'gone' : undefined;
  }
}
