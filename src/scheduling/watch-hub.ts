import { isFinished, type Job } from '../domain/job.ts';
import { onAbort } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { JobStore, KnownVersion } from '../ports/job-store.ts';
import { type SchedulingSettings, WATCH_LIFE_IN_REFRESHES } from './settings.ts';

/** What a watcher is woken with: a newer job, nothing new within the time given, or the record's end. */
export type WatchNews = 'changed' | 'idle' | 'gone';

export interface WatchHubOptions {
  readonly jobs: Pick<JobStore, 'getAll' | 'apply' | 'refreshWatches'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly replicaId: string;
  readonly settings: SchedulingSettings;
}

/** How many watches are refreshed in one call of the store. */
const REFRESH_BATCH = 500;

/**
 * Watches that are refreshed in a second. A replica with more streams than it can refresh at this pace in one interval
 * takes longer, and says so to the store: what waits must not cost more, the more of it there is.
 */
const REFRESHED_PER_SECOND = 1_000;

/** The watches of one job. */
interface Followed {
  readonly watches: Set<JobWatch>;
  /** On the monotonic clock. */
  readonly refreshedAt: number;
}

/**
 * The jobs that this replica's clients follow.
 *
 * Watchers see the latest state and skip those between if they are slow: nothing piles up behind a slow client.
 */
export class WatchHub {
  readonly #options: WatchHubOptions;
  /** By job, those first that were refreshed the longest ago. */
  readonly #followed = new Map<string, Followed>();
  readonly #never = new AbortController().signal;
  #refreshedAt: number;
  /** Jobs that changed elsewhere, to be read together. */
  #toRead = new Set<string>();
  #reading: Promise<void> | undefined;

  constructor(options: WatchHubOptions) {
    this.#options = options;
    this.#refreshedAt = options.clock.monotonic();
  }

  /**
   * How long the store believes a watch of this replica that begins now, or is refreshed now. Its next turn comes after
   * those that are followed already, and before all that come later.
   */
  get watchMilliseconds(): number {
    const { watchRefreshInterval } = this.#options.settings;
    const turn = Math.max(watchRefreshInterval, (this.#followed.size * 1_000) / REFRESHED_PER_SECOND);
    return turn * WATCH_LIFE_IN_REFRESHES;
  }

  /** Begins to follow a job. Feed it what is known of the job afterwards, so that no change falls in between. */
  open(jobId: string): JobWatch {
    const watch = new JobWatch(this.#options.clock, (closed) => this.#close(jobId, closed));
    const followed = this.#followed.get(jobId);
    if (followed === undefined) {
      this.#followed.set(jobId, { watches: new Set([watch]), refreshedAt: this.#options.clock.monotonic() });
    } else {
      followed.watches.add(watch);
    }
    return watch;
  }

  /** Tells this replica's watchers. What is older than they know is dropped. */
  jobChanged(job: Job): void {
    for (const watch of this.#watchesOf(job.id)) watch.feed(job);
  }

  /** Another replica says that the job changed: reads it, if anyone here follows it, with others that are told of now. */
  async jobChangedElsewhere(jobId: string, version: number): Promise<void> {
    if ([...this.#watchesOf(jobId)].every((each) => each.version >= version)) return;
    this.#toRead.add(jobId);
    this.#reading ??= Promise.resolve().then(() => this.#readChanged());
    await this.#reading;
  }

  /** What this replica knows of a job that its clients follow. */
  latest(jobId: string): Job | undefined {
    let latest: Job | undefined;
    for (const watch of this.#watchesOf(jobId)) {
      if (watch.version > (latest?.version ?? 0)) latest = watch.latest;
    }
    return latest;
  }

  /**
   * Says of the jobs whose turn it is that this replica still follows them, and catches up with what it missed. To be
   * called every second or so.
   */
  async refresh(): Promise<void> {
    const due = this.#takeTurns();
    const watch = { replicaId: this.#options.replicaId, milliseconds: this.watchMilliseconds };
    for (let i = 0; i < due.length; i += REFRESH_BATCH) {
      const batch = due.slice(i, i + REFRESH_BATCH);
      const { changed, gone } = await this.#options.jobs.refreshWatches(batch, watch, this.#never);
      for (const job of changed) this.jobChanged(job);
      for (const jobId of gone) this.jobGone(jobId);
    }
  }

  /** Updates were lost: the turn of every job comes as soon as may be. */
  catchUp(): void {
    for (const [jobId, followed] of this.#followed) {
      this.#followed.set(jobId, { ...followed, refreshedAt: Number.NEGATIVE_INFINITY });
    }
  }

  /** The record was forgotten: its watchers' calls end. */
  jobGone(jobId: string): void {
    for (const watch of this.#watchesOf(jobId)) watch.forget();
  }

  async #readChanged(): Promise<void> {
    const jobIds = this.#toRead;
    this.#toRead = new Set();
    this.#reading = undefined;
    for (const job of await this.#options.jobs.getAll([...jobIds], this.#never)) {
      jobIds.delete(job.id);
      this.jobChanged(job);
    }
    for (const jobId of jobIds) this.jobGone(jobId);
  }

  #watchesOf(jobId: string): Iterable<JobWatch> {
    return this.#followed.get(jobId)?.watches ?? [];
  }

  /** The jobs whose turn it is, which then are the last in line. */
  #takeTurns(): KnownVersion[] {
    const { clock, settings } = this.#options;
    const now = clock.monotonic();
    const most = Math.max(REFRESH_BATCH, ((now - this.#refreshedAt) * REFRESHED_PER_SECOND) / 1_000);
    this.#refreshedAt = now;
    const due: KnownVersion[] = [];
    for (const [jobId, { watches, refreshedAt }] of this.#followed) {
      if (now - refreshedAt < settings.watchRefreshInterval || due.length >= most) break;
      let version = Number.MAX_SAFE_INTEGER;
      for (const watch of watches) if (watch.version < version) version = watch.version;
      due.push({ jobId, version });
    }
    for (const { jobId } of due) {
      const followed = this.#followed.get(jobId);
      this.#followed.delete(jobId);
      if (followed !== undefined) this.#followed.set(jobId, { ...followed, refreshedAt: now });
    }
    return due;
  }

  #close(jobId: string, closed: JobWatch): void {
    const watches = this.#followed.get(jobId)?.watches;
    if (watches === undefined || !watches.delete(closed) || watches.size > 0) return;
    this.#followed.delete(jobId);
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
        letGo();
        this.#wake = undefined;
      };
      const timer = this.#clock.setTimer(milliseconds, () => {
        done();
        resolve('idle');
      });
      const letGo = onAbort(signal, () => {
        done();
        reject(signal.reason);
      });
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
