import { isFinished, type Job } from '../job.ts';
import { statusOutcome } from '../outcome.ts';
import { StatusCode } from '../status-code.ts';
import type { JobEventOf } from './event.ts';
import { finish } from './finish.ts';
import { notifyAll, refused } from './tell.ts';
import type { Transition } from './transition.ts';

/** One client wants the answer no more. The job goes on while any other does. */
export function cancelOperation(job: Job, event: JobEventOf<'cancel-operation'>, now: number): Transition {
  const target = job.operations.find((each) => each.id === event.operationId);
  if (isFinished(job) || target === undefined || target.cancelledAt !== undefined) return refused(job);
  const next: Job = {
    ...job,
    operations: job.operations.map((each) => (each === target ? { ...each, cancelledAt: now } : each)),
  };
  if (next.operations.every((each) => each.cancelledAt !== undefined)) {
    return finish(next, 'cancelled', statusOutcome(StatusCode.CANCELLED, 'the operation was cancelled'), now);
  }
  return { next, effects: notifyAll(next), accepted: true };
}

/** Drops an operation's record; of an unfinished one also its interest. With its last operation a job is forgotten. */
export function deleteOperation(job: Job, event: JobEventOf<'delete-operation'>, now: number): Transition {
  const operations = job.operations.filter((each) => each.id !== event.operationId);
  if (operations.length === job.operations.length) return refused(job);
  const rest: Job = { ...job, operations };
  if (operations.every((each) => each.cancelledAt !== undefined) && !isFinished(job)) {
    const ended = finish(rest, 'cancelled', statusOutcome(StatusCode.CANCELLED, 'the operation was deleted'), now);
    return operations.length === 0 ? { ...ended, next: undefined } : ended;
  }
  if (operations.length === 0) return { next: undefined, effects: notifyAll(job), accepted: true };
  return { next: rest, effects: notifyAll(rest), accepted: true };
}

/** Ends the job for all its clients. */
export function cancelJob(job: Job, event: JobEventOf<'cancel'>, now: number): Transition {
  return finish(job, 'cancelled', statusOutcome(StatusCode.CANCELLED, event.reason), now);
}
