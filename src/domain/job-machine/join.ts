import { isFinished, type Job } from '../job.ts';
import type { JobEffect } from './effect.ts';
import type { JobEventOf } from './event.ts';
import { offer, refused } from './tell.ts';
import type { Transition } from './transition.ts';
import { withWatch } from './watch.ts';

/**
 * Operations that share a job at most, unless a store is told otherwise. A record is read and written with all of them: a
 * client that executes one action again and again must not make it grow without end.
 */
export const MAX_OPERATIONS_PER_JOB = 1_000;

/** Whether a further Execute of the same action may share this job. */
export function isJoinable(job: Job): boolean {
  return !job.doNotCache && !isFinished(job);
}

/** One more operation. One that is more urgent raises the job, and a queued job is offered anew at its new place. */
export function joinJob(job: Job, event: JobEventOf<'join'>, now: number): Transition {
  if (!isJoinable(job)) return refused(job);
  const { operation, watch } = event;
  const raised = operation.priority < job.priority;
  const joined: Job = {
    ...job,
    priority: raised ? operation.priority : job.priority,
    offeredAt: raised && job.state === 'queued' ? now : job.offeredAt,
    operations: [...job.operations, { ...operation, createdAt: now, cancelledAt: undefined }],
  };
  const next = watch === undefined ? joined : withWatch(joined, watch, now);
  const effects: JobEffect[] = raised && job.state === 'queued' ? [offer(next)] : [];
  return { next, effects, accepted: true };
}
