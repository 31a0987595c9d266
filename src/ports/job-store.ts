import type { Job } from '../domain/job.ts';
import type { JobEffect } from '../domain/job-machine/effect.ts';
import type { JobEvent, Submission, Watch } from '../domain/job-machine/event.ts';
import type { OperationQuery, SortKey } from '../domain/operation-query.ts';
import type { WorkQueueName } from '../domain/work.ts';

/** A change that stands, and what must follow it. */
export interface AppliedEvent {
  /** The job afterwards; undefined where its record was forgotten. */
  readonly job: Job | undefined;
  /** To be carried out by the caller, then settled. Should the caller die, `due` brings up again what was not settled. */
  readonly effects: readonly JobEffect[];
  /** Whether the event counted. */
  readonly accepted: boolean;
}

export interface Submitted extends AppliedEvent {
  readonly job: Job;
  /** Whether an unfinished job was joined. */
  readonly joined: boolean;
}

/** A version of a job, as somebody knows it. */
export interface KnownVersion {
  readonly jobId: string;
  readonly version: number;
}

export interface OperationPage {
  /** Pairs of a job and the id of one of its operations, in the query's order. */
  readonly operations: ReadonlyArray<{ readonly job: Job; readonly operationId: string }>;
  /** Where the next page begins; undefined after the last. */
  readonly next: SortKey | undefined;
}

export interface JobCounts {
  readonly queued: number;
  readonly leased: number;
  readonly finished: number;
}

/** The jobs that wait in one queue. */
export interface WaitingJobs {
  readonly queue: WorkQueueName;
  readonly jobs: number;
  /** When the oldest of them was made. Milliseconds since the epoch on the store's clock. */
  readonly oldestQueuedAt: number;
}

/** A job that waits, and at which it is time to look: whether any bot fits it, and whether its message is still there. */
export interface DueLook {
  readonly jobId: string;
  readonly queue: WorkQueueName;
  /** The attempt that it waits for. */
  readonly attempt: number;
  readonly priority: number;
  /** When it was last offered. Milliseconds since the epoch on the store's clock. */
  readonly offeredAt: number;
  /** For how many milliseconds that offer has stood. */
  readonly offeredFor: number;
  /** Whether no bot fitted when it was looked at before. */
  readonly wasUnserved: boolean;
  /** Milliseconds that it waits for a bot that fits. */
  readonly unservedGrace: number;
}

export interface DueJobs {
  /** To be given a `tick`. */
  readonly jobIds: readonly string[];
  readonly looks: readonly DueLook[];
}

/** A few of the jobs, for people. */
export interface JobGlance {
  /** Some that wait, in no order. */
  readonly queued: readonly Job[];
  /** Some of those that ended last, the youngest first. */
  readonly finished: readonly Job[];
}

/**
 * What is true of jobs and operations.
 *
 * Rules that every implementation keeps, and that its suite checks:
 * - A record changes by the job machine alone, in one atomic step for each event, in the order in which events come.
 * - Time is the store's own; callers send durations.
 * - Records are plain values. Whoever gets one gets a value that later events don't change.
 * - Each unfinished job has a deadline under which `due` finds it; each finished one is forgotten after its retention,
 *   or earlier where the store's bound on finished records asks for it, the oldest first.
 * - Everything of one job lies in the shard that begins its id: one atomic step touches no other.
 */
export interface JobStore {
  /**
   * Joins the unfinished job of the same instance and action, unless it must not be shared, or as many share it as may;
   * else makes one.
   *
   * @throws RESOURCE_EXHAUSTED when the store takes no more jobs; UNAVAILABLE when it can't be reached.
   */
  submit(submission: Submission, signal: AbortSignal): Promise<Submitted>;

  /** Applies one event. Undefined where the job is not known. */
  apply(jobId: string, event: JobEvent, signal: AbortSignal): Promise<AppliedEvent | undefined>;

  get(jobId: string, signal: AbortSignal): Promise<Job | undefined>;

  /** Those of the jobs that are known, in no order. */
  getAll(jobIds: readonly string[], signal: AbortSignal): Promise<readonly Job[]>;

  /** The job of an operation. @param operationId a sharded id. */
  getByOperation(operationId: string, signal: AbortSignal): Promise<Job | undefined>;

  /**
   * The effects of the changes that made these versions were carried out. Only `offer` and `dead-letter` need it: a lost
   * `notify` or `end-lease` costs seconds, and a lost `check-fit` comes again.
   */
  settle(carriedOut: readonly KnownVersion[], signal: AbortSignal): Promise<void>;

  /**
   * Says for many jobs at once that a replica still streams them, and gives those that changed since the version that
   * the replica knows: a lost update costs no more than the time between two calls. Jobs that are gone come back in
   * `gone`.
   */
  refreshWatches(
    known: readonly KnownVersion[],
    watch: Watch,
    signal: AbortSignal,
  ): Promise<{ readonly changed: readonly Job[]; readonly gone: readonly string[] }>;

  /**
   * What is due: jobs whose deadline has passed or whose effects were not settled in time, the earliest first, and looks
   * at jobs that wait. Each is given to one caller. A job comes to another only if it is still due some seconds later; a
   * look is put off by the job's grace with that. Of jobs that wait together (`WaitingLines`) the oldest few are looked at
   * for all of them; one that no bot fitted is looked at by itself.
   *
   * @param limit jobs in all, a few more where lines are looked at. Where more are due these are any of them, and a few
   *   calls come to all.
   */
  due(limit: number, signal: AbortSignal): Promise<DueJobs>;

  /** Operations that fit a query. @param after where the page before said that the next begins. */
  list(query: OperationQuery, limit: number, after: SortKey | undefined, signal: AbortSignal): Promise<OperationPage>;

  count(signal: AbortSignal): Promise<JobCounts>;

  /** At most `limit` jobs of each kind. Reads a bounded part of the store, however much it holds. */
  glance(limit: number, signal: AbortSignal): Promise<JobGlance>;

  /** What waits, by queue, in no order. An operator's question: it looks at every job that waits. */
  waiting(signal: AbortSignal): Promise<readonly WaitingJobs[]>;
}

/** The look at a job that waits. @param now milliseconds since the epoch on the store's clock. */
export function dueLook(job: Job, now: number): DueLook {
  return {
    jobId: job.id,
    queue: { instanceName: job.instanceName, requirement: job.requirement },
    attempt: job.attempts + 1,
    priority: job.priority,
    offeredAt: job.offeredAt,
    offeredFor: now - job.offeredAt,
    wasUnserved: job.unservedSince !== undefined,
    unservedGrace: job.policy.unservedGrace,
  };
}

/** Takes what waits in a queue together with what was counted of it so far. */
export function addWaiting(counted: Map<string, WaitingJobs>, key: string, more: WaitingJobs): void {
  const so = counted.get(key);
  counted.set(key, {
    queue: more.queue,
    jobs: (so?.jobs ?? 0) + more.jobs,
    oldestQueuedAt: Math.min(so?.oldestQueuedAt ?? more.oldestQueuedAt, more.oldestQueuedAt),
  });
}
