import type { Job } from '../domain/job.ts';
import { isCurrentAttempt } from '../domain/job-machine/complete.ts';
import { LruMap } from '../lib/lru-map.ts';

/** Bytes of Actions that are kept. */
const MOST_BYTES = 16 * 1024 * 1024;

/** What a job weighs beside its Action, in bytes. */
const JOB_WEIGHT = 1_024;

/**
 * Jobs as this replica leased them, so that the end of most leases is judged without reading the job again.
 *
 * Nothing is decided by it: the store refuses the result of a lease that is over, whoever believed in it.
 */
export class LeasedJobs {
  readonly #jobs = new LruMap<string, Job>(MOST_BYTES, (job) => job.action.byteLength + JOB_WEIGHT);

  add(job: Job): void {
    this.#jobs.set(job.id, job);
  }

  /** Takes the job out, if the bot has it by this attempt as far as is known. */
  take(jobId: string, attempt: number, botId: string): Job | undefined {
    const job = this.#jobs.get(jobId);
    if (job === undefined) return undefined;
    this.#jobs.delete(jobId);
    return isCurrentAttempt(job, attempt, botId) ? job : undefined;
  }

  /** The job has ended or goes to another: it must be read anew. */
  forget(jobId: string): void {
    this.#jobs.delete(jobId);
  }
}
