import { isFinished, type Job } from '../job.ts';
import { retryableOutcome, statusOutcome } from '../outcome.ts';
import { StatusCode } from '../status-code.ts';
import { finish } from './finish.ts';
import { retry } from './retry.ts';
import { queueInWords, refused } from './tell.ts';
import type { Transition } from './transition.ts';

/** When the job must next be looked at: the earliest of its bounds. A record has always one, so that none stays for ever. */
export function nextDeadline(job: Job): number {
  if (isFinished(job)) return (job.finishedAt ?? 0) + job.policy.retention;
  let deadline = abandonedAt(job);
  const bound = (at: number) => {
    if (at < deadline) deadline = at;
  };
  if (job.lease !== undefined) {
    bound(job.lease.expiresAt);
    bound(job.lease.leasedAt + job.policy.executionTimeout);
  } else {
    // Others stand in a line, and are looked at with it.
    if (job.unservedSince !== undefined) bound(job.fitCheckAt);
    if (job.policy.queueTimeout !== undefined) bound(job.queuedAt + job.policy.queueTimeout);
  }
  return deadline;
}

/** Applies the bound that has passed, if any; one a call, the weightiest first. */
export function tick(job: Job, now: number): Transition {
  if (isFinished(job)) return now < nextDeadline(job) ? refused(job) : { next: undefined, effects: [], accepted: true };
  if (now >= abandonedAt(job)) {
    const seconds = job.policy.abandonAfter / 1_000;
    const message = `cancelled: no client has watched it for ${seconds} s`;
    return finish(job, 'cancelled', statusOutcome(StatusCode.CANCELLED, message), now);
  }
  return job.lease === undefined ? tickQueued(job, now) : tickLeased(job, job.lease, now);
}

/** Whether nothing is due of a job that no bot fitted but another look whether one does. */
export function isOnlyLookDue(job: Job, now: number): boolean {
  return job.unservedSince !== undefined && now >= job.fitCheckAt && mayWait(job, now);
}

/** Whether a job waits, and neither its wait nor its clients' interest has come to an end. */
export function mayWait(job: Job, now: number): boolean {
  const { queueTimeout } = job.policy;
  if (job.state !== 'queued' || now >= abandonedAt(job)) return false;
  return queueTimeout === undefined || now < job.queuedAt + queueTimeout;
}

function tickQueued(job: Job, now: number): Transition {
  const { queueTimeout } = job.policy;
  if (queueTimeout !== undefined && now >= job.queuedAt + queueTimeout) {
    const message = `waited ${Math.round((now - job.queuedAt) / 1_000)} s in ${queueInWords(job)} and no bot took it`;
    return finish(job, 'expired', retryableOutcome(StatusCode.UNAVAILABLE, message), now);
  }
  if (now < job.fitCheckAt) return refused(job);
  // Looked at again soon should whoever was told to check be gone before it could say.
  return {
    next: { ...job, fitCheckAt: now + job.policy.unservedGrace },
    effects: [{ type: 'check-fit' }],
    accepted: true,
  };
}

function tickLeased(job: Job, lease: NonNullable<Job['lease']>, now: number): Transition {
  const { executionTimeout } = job.policy;
  if (now >= lease.leasedAt + executionTimeout) {
    const message = `ran longer than ${Math.round(executionTimeout / 1_000)} s on bot ${lease.botId}`;
    return finish(job, 'expired', statusOutcome(StatusCode.DEADLINE_EXCEEDED, message), now);
  }
  if (now >= lease.expiresAt) return retry(job, lease, 'the bot was not heard of in time', now);
  return refused(job);
}

/** When the job counts as abandoned, unless someone watches it by then. */
function abandonedAt(job: Job): number {
  let unwatchedSince = job.unwatchedSince ?? 0;
  for (const replicaId in job.watchers) {
    const until = job.watchers[replicaId];
    if (until !== undefined && until > unwatchedSince) unwatchedSince = until;
  }
  return unwatchedSince + job.policy.abandonAfter;
}
