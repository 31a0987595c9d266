import { deduplicationKey, isFinished, type Job } from '../../../domain/job.ts';
import { createJob } from '../../../domain/job-machine/create.ts';
import type { JobEvent, Submission, Watch } from '../../../domain/job-machine/event.ts';
import { isJoinable, MAX_OPERATIONS_PER_JOB } from '../../../domain/job-machine/join.ts';
import { isOnlyLookDue, mayWait, nextDeadline } from '../../../domain/job-machine/tick.ts';
import { transition } from '../../../domain/job-machine/transition.ts';
import {
  compareSortKeys,
  matchesQuery,
  type OperationQuery,
  type SortKey,
  sortKeyOf,
} from '../../../domain/operation-query.ts';
import { outcomeSize } from '../../../domain/outcome.ts';
import { resourceExhausted } from '../../../domain/status-error.ts';
import { WaitingLines } from '../../../domain/waiting-lines.ts';
import { workQueueKey } from '../../../domain/work.ts';
import type { Clock } from '../../../lib/clock.ts';
import { IndexedHeap } from '../../../lib/indexed-heap.ts';
import {
  type AppliedEvent,
  addWaiting,
  type DueJobs,
  type DueLook,
  dueLook,
  type JobCounts,
  type JobGlance,
  type JobStore,
  type KnownVersion,
  type OperationPage,
  type Submitted,
  type WaitingJobs,
} from '../../../ports/job-store.ts';
import { FinishedJobs } from './finished-jobs.ts';

export interface InProcessJobStoreOptions {
  readonly clock: Clock;
  /** Unfinished jobs that are held at once; beyond, Execute gets RESOURCE_EXHAUSTED. Defaults to 1 000 000. */
  readonly maxUnfinished?: number;
  /** Finished jobs that are kept to be asked for, within their retention; then the oldest go. Defaults to 10 000. */
  readonly maxFinished?: number;
  /** Bytes of answers kept with them. Defaults to 64 MiB. */
  readonly maxFinishedBytes?: number;
  /** Operations that share a job at most. Defaults to MAX_OPERATIONS_PER_JOB. */
  readonly maxOperationsPerJob?: number;
}

/** How long a due job is left to the caller who got it, in milliseconds. */
const DUE_AGAIN_AFTER = 5_000;

/** How soon a caller who was refused for want of room should come again, in milliseconds. */
const RETRY_WHEN_FULL = 5_000;

/**
 * Jobs in the memory of one process: for the embedded grid and for tests.
 *
 * A restart forgets them; clients execute anew, and find in the action cache what was finished.
 */
export class InProcessJobStore implements JobStore {
  readonly #clock: Clock;
  readonly #maxUnfinished: number;
  readonly #maxOperationsPerJob: number;
  readonly #jobs = new Map<string, Job>();
  readonly #byOperation = new Map<string, string>();
  readonly #joinable = new Map<string, string>();
  readonly #deadlines = new IndexedHeap<string, number>((a, b) => a < b);
  readonly #lines = new WaitingLines();
  readonly #finished: FinishedJobs;
  #queued = 0;

  constructor(options: InProcessJobStoreOptions) {
    this.#clock = options.clock;
    this.#maxUnfinished = options.maxUnfinished ?? 1_000_000;
    this.#maxOperationsPerJob = options.maxOperationsPerJob ?? MAX_OPERATIONS_PER_JOB;
    this.#finished = new FinishedJobs(options.maxFinished ?? 10_000, options.maxFinishedBytes ?? 64 * 1024 * 1024);
  }

  async submit(submission: Submission, _signal: AbortSignal): Promise<Submitted> {
    const now = this.#clock.now();
    if (submission.cached === undefined) {
      const joined = this.#join(submission, now);
      if (joined !== undefined) return joined;
      if (this.#jobs.size - this.#finished.count >= this.#maxUnfinished) {
        throw resourceExhausted(`${this.#maxUnfinished} actions wait or run already`, RETRY_WHEN_FULL);
      }
    }
    const { next: job, effects } = createJob(submission, now);
    this.#put(undefined, job, now);
    return { job, effects, accepted: true, joined: false };
  }

  async apply(jobId: string, event: JobEvent, _signal: AbortSignal): Promise<AppliedEvent | undefined> {
    const job = this.#jobs.get(jobId);
    return job === undefined ? undefined : this.#apply(job, event, this.#clock.now());
  }

  async get(jobId: string, _signal: AbortSignal): Promise<Job | undefined> {
    return this.#jobs.get(jobId);
  }

  async getAll(jobIds: readonly string[], _signal: AbortSignal): Promise<readonly Job[]> {
    return jobIds.map((id) => this.#jobs.get(id)).filter((job) => job !== undefined);
  }

  async getByOperation(operationId: string, _signal: AbortSignal): Promise<Job | undefined> {
    const jobId = this.#byOperation.get(operationId);
    return jobId === undefined ? undefined : this.#jobs.get(jobId);
  }

  /** Nothing to do: who would carry out the effects dies together with this store. */
  async settle(_carriedOut: readonly KnownVersion[], _signal: AbortSignal): Promise<void> {}

  async refreshWatches(
    known: readonly KnownVersion[],
    watch: Watch,
    _signal: AbortSignal,
  ): Promise<{ readonly changed: readonly Job[]; readonly gone: readonly string[] }> {
    const now = this.#clock.now();
    const changed: Job[] = [];
    const gone: string[] = [];
    for (const { jobId, version } of known) {
      const job = this.#jobs.get(jobId);
      if (job === undefined) {
        gone.push(jobId);
        continue;
      }
      const { job: after } = this.#apply(job, { type: 'watch', watch }, now);
      if (job.version > version && after !== undefined) changed.push(after);
    }
    return { changed, gone };
  }

  async due(limit: number, _signal: AbortSignal): Promise<DueJobs> {
    const now = this.#clock.now();
    const jobIds: string[] = [];
    const looks: DueLook[] = [];
    while (jobIds.length + looks.length < limit) {
      const first = this.#deadlines.peek();
      if (first === undefined || first[1] > now) break;
      const job = this.#jobs.get(first[0]);
      if (job !== undefined && isOnlyLookDue(job, now)) {
        looks.push(dueLook(job, now));
        this.#apply(job, { type: 'tick' }, now);
        // Without a grace it is due again at once; one look in a call will do.
        this.#deadlines.set(job.id, Math.max(this.#deadlines.get(job.id) ?? 0, now + 1));
        continue;
      }
      jobIds.push(first[0]);
      this.#deadlines.set(first[0], now + DUE_AGAIN_AFTER);
    }
    this.#lookAtLines(limit - jobIds.length - looks.length, now, looks);
    return { jobIds, looks };
  }

  async list(
    query: OperationQuery,
    limit: number,
    after: SortKey | undefined,
    _signal: AbortSignal,
  ): Promise<OperationPage> {
    const found: Array<{ readonly job: Job; readonly operationId: string; readonly key: SortKey }> = [];
    for (const job of this.#jobs.values()) {
      for (const operation of job.operations) {
        if (!matchesQuery(job, operation, query)) continue;
        const key = sortKeyOf(job, operation, query);
        if (after !== undefined && compareSortKeys(query, key, after) <= 0) continue;
        found.push({ job, operationId: operation.id, key });
      }
    }
    found.sort((a, b) => compareSortKeys(query, a.key, b.key));
    const operations = found.slice(0, limit);
    return { operations, next: found.length > limit ? operations.at(-1)?.key : undefined };
  }

  async count(_signal: AbortSignal): Promise<JobCounts> {
    const finished = this.#finished.count;
    return { queued: this.#queued, leased: this.#jobs.size - finished - this.#queued, finished };
  }

  async glance(limit: number, _signal: AbortSignal): Promise<JobGlance> {
    const queued: Job[] = [];
    for (const job of this.#queued === 0 ? [] : this.#jobs.values()) {
      if (queued.length >= limit) break;
      if (job.state === 'queued') queued.push(job);
    }
    const finished = this.#finished.youngest(limit).map((id) => this.#jobs.get(id));
    return { queued, finished: finished.filter((job) => job !== undefined) };
  }

  async waiting(_signal: AbortSignal): Promise<readonly WaitingJobs[]> {
    const queues = new Map<string, WaitingJobs>();
    for (const { state, instanceName, requirement, queuedAt } of this.#jobs.values()) {
      if (state !== 'queued') continue;
      const queue = { instanceName, requirement };
      addWaiting(queues, workQueueKey(queue), { queue, jobs: 1, oldestQueuedAt: queuedAt });
    }
    return [...queues.values()];
  }

  /** Adds the looks at lines that are due, about as many as there is room for. */
  #lookAtLines(limit: number, now: number, looks: DueLook[]): void {
    const most = looks.length + limit;
    while (looks.length < most) {
      const due = this.#lines.nextDue(now);
      if (due === undefined) return;
      const jobs = due.jobIds.map((id) => this.#jobs.get(id)).filter((job) => job !== undefined);
      for (const job of jobs) if (mayWait(job, now)) looks.push(dueLook(job, now));
      const grace = Math.min(...jobs.map((job) => job.policy.unservedGrace));
      this.#lines.lookAgain(due.line, now + Math.max(1, grace));
    }
  }

  #join(submission: Submission, now: number): Submitted | undefined {
    if (submission.doNotCache) return undefined;
    const jobId = this.#joinable.get(deduplicationKey(submission.instanceName, submission.actionDigest));
    const job = jobId === undefined ? undefined : this.#jobs.get(jobId);
    if (job === undefined || job.operations.length >= this.#maxOperationsPerJob) return undefined;
    const { operation, watch } = submission;
    const applied = this.#apply(job, { type: 'join', operation, watch }, now);
    if (!applied.accepted || applied.job === undefined) return undefined;
    return { ...applied, job: applied.job, joined: true };
  }

  #apply(job: Job, event: JobEvent, now: number): AppliedEvent {
    const { next, effects, accepted } = transition(job, event, now);
    if (next === undefined) this.#forget(job);
    else if (next !== job) this.#put(job, next, now);
    else if (event.type === 'tick') this.#deadlines.set(job.id, nextDeadline(job));
    return { job: next, effects, accepted };
  }

  #put(before: Job | undefined, job: Job, now: number): void {
    this.#jobs.set(job.id, job);
    if (before?.operations !== job.operations) this.#indexOperations(before, job);
    const deadline = nextDeadline(job);
    if (this.#deadlines.get(job.id) !== deadline) this.#deadlines.set(job.id, deadline);
    this.#lines.note(before, job, now);
    this.#queued += Number(job.state === 'queued') - Number(before?.state === 'queued');

    const key = deduplicationKey(job.instanceName, job.actionDigest);
    // The youngest is joined: an older one is full.
    if (isJoinable(job)) {
      if (before === undefined) this.#joinable.set(key, job.id);
    } else if (this.#joinable.get(key) === job.id) this.#joinable.delete(key);

    if (isFinished(job) && (before === undefined || !isFinished(before))) {
      this.#finished.add(job.id, job.outcome === undefined ? 0 : outcomeSize(job.outcome));
      for (const id of this.#finished.takeSurplus()) {
        const surplus = this.#jobs.get(id);
        if (surplus !== undefined) this.#forget(surplus);
      }
    }
  }

  #indexOperations(before: Job | undefined, job: Job): void {
    if (before !== undefined && before.operations.length > job.operations.length) {
      for (const { id } of before.operations) this.#byOperation.delete(id);
    }
    for (const { id } of job.operations) this.#byOperation.set(id, job.id);
  }

  #forget(job: Job): void {
    this.#jobs.delete(job.id);
    this.#deadlines.delete(job.id);
    this.#finished.delete(job.id);
    for (const { id } of job.operations) this.#byOperation.delete(id);
    if (job.state === 'queued') this.#queued -= 1;
    this.#lines.note(job, undefined, this.#clock.now());
    const key = deduplicationKey(job.instanceName, job.actionDigest);
    if (this.#joinable.get(key) === job.id) this.#joinable.delete(key);
  }
}
