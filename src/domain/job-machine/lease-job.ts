import type { Job } from '../job.ts';
import type { JobEventOf } from './event.ts';
import { notifyAll, refused } from './tell.ts';
import type { Transition } from './transition.ts';

/** A bot takes the job, if it still waits for just this attempt: a doubled or late work message finds it taken. */
export function leaseJob(job: Job, event: JobEventOf<'lease'>, now: number): Transition {
  if (job.state !== 'queued' || event.attempt !== job.attempts + 1) return refused(job);
  const next: Job = {
    ...job,
    state: 'leased',
    attempts: event.attempt,
    startedAt: now,
    unservedSince: undefined,
    lease: {
      attempt: event.attempt,
      botId: event.botId,
      botSessionName: event.botSessionName,
      leasedAt: now,
      expiresAt: now + event.leaseMilliseconds,
    },
  };
  return { next, effects: notifyAll(next), accepted: true };
}

/** The bot that holds the lease is alive. Watchers hear only of what they can see: new partial metadata. */
export function renewLease(job: Job, event: JobEventOf<'renew'>, now: number): Transition {
  const { lease } = job;
  if (lease === undefined || lease.attempt !== event.attempt || lease.botId !== event.botId) return refused(job);
  const told = event.partialMetadata !== undefined && !sameBytes(event.partialMetadata, job.partialMetadata);
  const next: Job = {
    ...job,
    state: event.executing ? 'executing' : job.state,
    lease: { ...lease, expiresAt: now + event.leaseMilliseconds },
    partialMetadata: told ? event.partialMetadata : job.partialMetadata,
  };
  return { next, effects: told ? notifyAll(next) : [], accepted: true };
}

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  if (b === undefined || a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.byteLength; i++) if (a[i] !== b[i]) return false;
  return true;
}
