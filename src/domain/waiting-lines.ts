import { IndexedHeap } from '../lib/indexed-heap.ts';
import type { Job } from './job.ts';
import { shardOfId } from './shard.ts';
import { workQueueKey } from './work.ts';

/** How many of a line are looked at together, the oldest offers first. */
export const LOOKED_AT_IN_LINE = 10;

interface Place {
  readonly jobId: string;
  readonly offeredAt: number;
}

/**
 * The line that a job stands in: the jobs of one shard that wait in one queue at one priority. Undefined for a job that
 * does not wait, and for one that no bot fitted when it was last looked at: that one is looked at by itself.
 */
function lineOf(job: Job): string | undefined {
  if (job.state !== 'queued' || job.unservedSince !== undefined) return undefined;
  return `${shardOfId(job.id)} ${job.priority} ${workQueueKey(job)}`;
}

/**
 * Lines of jobs that wait, and when to look at each.
 *
 * What a look asks has one answer for a whole line: either some bot fits all of it or none of it, and the oldest offer is
 * the first whose message is missed, since a queue hands out in order. So that a look takes in the oldest few, once in
 * their grace, however many stand behind them. Where it finds something to note, the line is due again at once, until all
 * of it has been told.
 */
export class WaitingLines {
  /** The jobs of each, by id. */
  readonly #lines = new Map<string, IndexedHeap<string, Place>>();
  readonly #looks = new IndexedHeap<string, number>((a, b) => a < b);

  /** A job has changed, or come, or gone. */
  note(before: Job | undefined, job: Job | undefined, now: number): void {
    const was = before === undefined ? undefined : lineOf(before);
    const line = job === undefined ? undefined : lineOf(job);
    if (was !== undefined && was !== line && before !== undefined) {
      this.#leave(was, before.id);
      const unserved = job?.state === 'queued' && job.unservedSince !== undefined;
      if (unserved && this.#lines.has(was)) this.#looks.set(was, now);
    }
    if (line === undefined || job === undefined) return;
    if (line !== was) {
      this.#enter(line, job);
      if (!this.#looks.has(line)) this.#looks.set(line, job.fitCheckAt);
    } else if (job.offeredAt !== before?.offeredAt) {
      this.#enter(line, job);
      this.#looks.set(line, now);
    }
  }

  /** A line at which it is time to look: the oldest few of it, the oldest first. */
  nextDue(now: number): { readonly line: string; readonly jobIds: readonly string[] } | undefined {
    const first = this.#looks.peek();
    if (first === undefined || first[1] > now) return undefined;
    const jobs = this.#lines.get(first[0]);
    const oldest: Place[] = [];
    if (jobs !== undefined) {
      while (jobs.size > 0 && oldest.length < LOOKED_AT_IN_LINE) oldest.push((jobs.pop() as [string, Place])[1]);
      for (const place of oldest) jobs.set(place.jobId, place);
    }
    return { line: first[0], jobIds: oldest.map(({ jobId }) => jobId) };
  }

  /** The line has been looked at. */
  lookAgain(line: string, at: number): void {
    this.#looks.set(line, at);
  }

  #enter(line: string, { id, offeredAt }: Job): void {
    let jobs = this.#lines.get(line);
    if (jobs === undefined) this.#lines.set(line, (jobs = new IndexedHeap(isBefore)));
    jobs.set(id, { jobId: id, offeredAt });
  }

  #leave(line: string, jobId: string): void {
    const jobs = this.#lines.get(line);
    jobs?.delete(jobId);
    if (jobs?.size !== 0) return;
    this.#lines.delete(line);
    this.#looks.delete(line);
  }
}

function isBefore(a: Place, b: Place): boolean {
  return a.offeredAt < b.offeredAt || (a.offeredAt === b.offeredAt && a.jobId < b.jobId);
}
