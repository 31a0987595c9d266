import type { Job } from '../job.ts';
import type { Lease } from '../lease.ts';
import { statusOutcome } from '../outcome.ts';
import { StatusCode } from '../status-code.ts';
import { isCurrentAttempt } from './complete.ts';
import type { JobEffect } from './effect.ts';
import type { JobEventOf } from './event.ts';
import { finish } from './finish.ts';
import { letGo, notifyAll, offer, refused } from './tell.ts';
import type { Transition } from './transition.ts';

/** The bot that holds the lease came to nothing. */
export function giveBack(job: Job, event: JobEventOf<'give-back'>, now: number): Transition {
  if (job.lease === undefined || !isCurrentAttempt(job, event.attempt, event.botId)) return refused(job);
  const made = retry(job, job.lease, event.reason, now);
  return { ...made, effects: made.effects.filter((effect) => effect.type !== 'end-lease') };
}

/** Ends the attempt: the job goes back to its place in the queue, or fails once its attempts are used up. */
export function retry(job: Job, lease: Lease, reason: string, now: number): Transition {
  const failed: Job = {
    ...job,
    partialMetadata: undefined,
    failedAttempts: [
      ...job.failedAttempts,
      { attempt: lease.attempt, botId: lease.botId, leasedAt: lease.leasedAt, endedAt: now, reason },
    ],
  };
  if (lease.attempt >= job.policy.maxAttempts) {
    const message = `given up after ${lease.attempt} attempts; the last, on bot ${lease.botId}: ${reason}`;
    const ended = finish(failed, 'failed', statusOutcome(StatusCode.ABORTED, message), now);
    return { ...ended, effects: [...ended.effects, { type: 'dead-letter', reason: message }] };
  }
  const queued: Job = {
    ...failed,
    state: 'queued',
    lease: undefined,
    offeredAt: now,
    fitCheckAt: now,
    unservedSince: undefined,
  };
  const effects: JobEffect[] = [...letGo(job), offer(queued), ...notifyAll(queued)];
  return { next: queued, effects, accepted: true };
}
