import type { Job } from '../domain/job.ts';
import { parseLeaseId } from '../domain/lease.ts';
import { unavailable } from '../domain/status-error.ts';
import { deadlineSignal, raceSignal } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import type { JobCounts, JobGlance } from '../ports/job-store.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import { type FarmSurvey, WorkQueueOverview } from '../scheduling/work-queue-overview.ts';

/** Queues, bots and counts of the whole farm at one moment. */
export interface FarmFigures extends FarmSurvey {
  readonly counts: JobCounts;
}

/** The same, with some of its jobs. */
export interface FarmView extends FarmFigures, JobGlance {
  /** Some that bots have in hand. */
  readonly running: readonly Job[];
  /** When it was read, in milliseconds since the epoch. */
  readonly readAt: number;
}

/** Jobs of each kind that are read for people. */
const GLANCED_JOBS = 50;

/** No view is read again sooner, in milliseconds. */
const SHORTEST_REST = 1_000;

/** Nor sooner than this many times what the last reading took: looking at a farm must not slow it. */
const REST_FACTOR = 10;

/** How long a reading may take, in milliseconds: who looks is told then that there is none, and the next look reads anew. */
const LONGEST_READING = 30_000;

/**
 * Reads how the farm stands, for as many as ask at a time: one reading serves all who ask until the next.
 *
 * What it reads grows with what waits; so does the time that it lets pass in between.
 */
export class FarmWatch {
  readonly #scheduler: Pick<Scheduler, 'jobs' | 'sessions' | 'broker'>;
  readonly #figures: Reading<FarmFigures>;
  readonly #view: Reading<FarmView>;

  constructor(scheduler: Pick<Scheduler, 'jobs' | 'sessions' | 'broker'>, clock: Clock) {
    this.#scheduler = scheduler;
    const overview = new WorkQueueOverview(scheduler);
    // One reading is for many; the going of one of them must not end it.
    const { signal } = new AbortController();
    this.#figures = new Reading(clock, async () => {
      const [counts, survey] = await Promise.all([scheduler.jobs.count(signal), overview.survey(undefined, signal)]);
      return { ...survey, counts };
    });
    this.#view = new Reading(clock, async () => {
      const [figures, glance] = await Promise.all([
        this.#figures.current(),
        scheduler.jobs.glance(GLANCED_JOBS, signal),
      ]);
      return { ...figures, ...glance, running: await this.#running(figures, signal), readAt: clock.now() };
    });
  }

  /** @throws UNAVAILABLE when store or broker can't be reached. */
  figures(): Promise<FarmFigures> {
    return this.#figures.current();
  }

  /** @throws UNAVAILABLE when store or broker can't be reached. */
  view(): Promise<FarmView> {
    return this.#view.current();
  }

  /** Who looked has changed something, and wants to see it. */
  forget(): void {
    this.#figures.forget();
    this.#view.forget();
  }

  async #running({ bots }: FarmFigures, signal: AbortSignal): Promise<Job[]> {
    const ids: string[] = [];
    for (const { leaseIds } of bots) {
      for (const id of leaseIds) {
        const jobId = parseLeaseId(id)?.jobId;
        if (jobId !== undefined && ids.length < GLANCED_JOBS) ids.push(jobId);
      }
    }
    const jobs = await Promise.all(ids.map((id) => this.#scheduler.jobs.get(id, signal)));
    return jobs
      .filter((job) => job !== undefined)
      .filter(({ state }) => state === 'leased' || state === 'executing')
      .sort((a, b) => (a.lease?.leasedAt ?? 0) - (b.lease?.leasedAt ?? 0));
  }
}

/** The last value read, and the reading of the next. */
class Reading<Value> {
  readonly #clock: Clock;
  readonly #read: () => Promise<Value>;
  #current: Promise<Value> | undefined;
  #freshUntil = 0;

  constructor(clock: Clock, read: () => Promise<Value>) {
    this.#clock = clock;
    this.#read = read;
  }

  current(): Promise<Value> {
    if (this.#current === undefined || this.#clock.monotonic() >= this.#freshUntil) this.#current = this.#next();
    return this.#current;
  }

  forget(): void {
    this.#current = undefined;
  }

  async #next(): Promise<Value> {
    const begun = this.#clock.monotonic();
    this.#freshUntil = Number.POSITIVE_INFINITY;
    // A farm that can't be read gave no work: who looks wants to see it as soon as it is back.
    let factor = 0;
    try {
      const value = await this.#readInTime();
      factor = REST_FACTOR;
      return value;
    } finally {
      const now = this.#clock.monotonic();
      this.#freshUntil = now + Math.max(SHORTEST_REST, (now - begun) * factor);
    }
  }

  /** One answer that never comes must not leave everybody waiting who ever looks. @throws UNAVAILABLE. */
  async #readInTime(): Promise<Value> {
    using inTime = deadlineSignal(this.#clock, LONGEST_READING);
    try {
      return await raceSignal(this.#read(), inTime.signal);
    } catch (cause) {
      if (!inTime.signal.aborted) throw cause;
      throw unavailable(`the farm could not be read within ${LONGEST_READING / 1_000} s`, SHORTEST_REST, cause);
    }
  }
}
