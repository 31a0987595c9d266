import type { JobState } from '../domain/job.ts';
import type { BuildLabels } from '../domain/work.ts';
import type { JobEventMessage } from '../ports/broker.ts';
import type { CallOutcome } from '../server/call-observer.ts';
import type { ReplicaObserver } from './replica-observer.ts';

const FINISHED: ReadonlySet<JobState> = new Set(['completed', 'cancelled', 'expired', 'failed']);

/** Counts what happens in a replica: what `warren up` shows as it runs. */
export class Activity implements ReplicaObserver {
  #executed = 0;
  #unfinished = 0;
  #hits = 0;
  #lookups = 0;
  #calls = 0;
  #last: BuildLabels | undefined;

  /** Jobs that ran to their end. */
  get executed(): number {
    return this.#executed;
  }

  /** Jobs that ended in any other way. */
  get failed(): number {
    return this.#unfinished;
  }

  /** Looks into the action cache that found a result. */
  get cacheHits(): number {
    return this.#hits;
  }

  get cacheLookups(): number {
    return this.#lookups;
  }

  /** What the job was that ended last, in the client's words. */
  get lastFinished(): BuildLabels | undefined {
    return this.#last;
  }

  /** Calls being answered. */
  get runningCalls(): number {
    return this.#calls;
  }

  callStarted(): (outcome: CallOutcome) => void {
    this.#calls += 1;
    return () => {
      this.#calls -= 1;
    };
  }

  actionCacheLookup(hit: boolean): void {
    this.#lookups += 1;
    if (hit) this.#hits += 1;
  }

  deadLettered(): void {}

  blobCalled(): void {}

  blobsEvicted(): void {}

  assetFetched(): void {}

  logStreamMoved(): void {}

  jobChanged(event: JobEventMessage): void {
    if (event.state === 'completed') this.#executed += 1;
    else if (FINISHED.has(event.state)) this.#unfinished += 1;
    if (FINISHED.has(event.state)) this.#last = event;
  }
}
