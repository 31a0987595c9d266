import { isFinished, type Job } from '../job.ts';
import type { Outcome } from '../outcome.ts';
import type { JobEffect } from './effect.ts';
import { letGo, notifyAll } from './tell.ts';
import type { Transition } from './transition.ts';

/** The ends of a job. */
export type EndState = 'completed' | 'cancelled' | 'expired' | 'failed';

/** Ends an unfinished job: lets go of queue place or bot, and tells every watcher. */
export function finish(job: Job, state: EndState, outcome: Outcome, now: number): Transition {
  if (isFinished(job)) return { next: job, effects: [], accepted: false };
  const ended: Job = {
    ...job,
    state,
    outcome,
    lease: undefined,
    action: NO_BYTES,
    finishedAt: now,
    unservedSince: undefined,
  };
  const effects: JobEffect[] = [...letGo(job), ...notifyAll(job)];
  return { next: ended, effects, accepted: true };
}

const NO_BYTES = new Uint8Array(0);
