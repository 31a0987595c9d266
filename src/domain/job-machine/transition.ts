import type { Job } from '../job.ts';
import { cancelJob, cancelOperation, deleteOperation } from './cancel.ts';
import { completeJob } from './complete.ts';
import type { JobEffect } from './effect.ts';
import type { JobEvent } from './event.ts';
import { judgeFit } from './fit.ts';
import { joinJob } from './join.ts';
import { leaseJob, renewLease } from './lease-job.ts';
import { loseOffer } from './lose-offer.ts';
import { giveBack } from './retry.ts';
import { tick } from './tick.ts';
import { unwatchJob, watchJob } from './watch.ts';

/** What an event made of a job. */
export interface Transition {
  /** The job afterwards; the very same value where nothing changed; undefined where the record is to be forgotten. */
  readonly next: Job | undefined;
  readonly effects: readonly JobEffect[];
  /** Whether the event counted. One that came too late, or from who has no say, does not. */
  readonly accepted: boolean;
}

/**
 * The job machine: what an event makes of a job.
 *
 * Pure, so that the in-process store and the Redis scripts can be held against it with the same random histories.
 *
 * @param now milliseconds since the epoch on the store's clock.
 */
export function transition(job: Job, event: JobEvent, now: number): Transition {
  const made = decide(job, event, now);
  if (made.next === undefined || !visiblyDiffers(job, made.next)) return made;
  return { ...made, next: { ...made.next, version: job.version + 1 } };
}

/** Whether a client that streams the job would see a difference: renewals of leases and watches it does not. */
function visiblyDiffers(job: Job, next: Job): boolean {
  return (
    next.state !== job.state ||
    next.operations !== job.operations ||
    next.partialMetadata !== job.partialMetadata ||
    next.attempts !== job.attempts
  );
}

function decide(job: Job, event: JobEvent, now: number): Transition {
  switch (event.type) {
    case 'join':
      return joinJob(job, event, now);
    case 'watch':
      return watchJob(job, event, now);
    case 'unwatch':
      return unwatchJob(job, event, now);
    case 'lease':
      return leaseJob(job, event, now);
    case 'renew':
      return renewLease(job, event, now);
    case 'complete':
      return completeJob(job, event, now);
    case 'give-back':
      return giveBack(job, event, now);
    case 'cancel-operation':
      return cancelOperation(job, event, now);
    case 'delete-operation':
      return deleteOperation(job, event, now);
    case 'cancel':
      return cancelJob(job, event, now);
    case 'offer-lost':
      return loseOffer(job, event, now);
    case 'fit':
      return judgeFit(job, event, now);
    case 'tick':
      return tick(job, now);
  }
}
