import type { Job } from '../job.ts';
import type { Submission } from './event.ts';
import { notifyAll, offer } from './tell.ts';
import type { Transition } from './transition.ts';

/** How long after its making a job's requirement is first held against the bots: most jobs are leased by then. */
const FIRST_FIT_CHECK = 1_000;

/** The job that a submission makes where there is none to join. */
export function createJob(submission: Submission, now: number): Transition & { readonly next: Job } {
  const { operation, watch, cached, policy } = submission;
  const job: Job = {
    id: submission.jobId,
    instanceName: submission.instanceName,
    actionDigest: submission.actionDigest,
    action: cached === undefined ? submission.action : new Uint8Array(0),
    requirement: submission.requirement,
    priority: submission.priority,
    doNotCache: submission.doNotCache,
    policy,
    state: cached === undefined ? 'queued' : 'completed',
    version: 1,
    attempts: 0,
    lease: undefined,
    failedAttempts: [],
    operations: [{ ...operation, createdAt: now, cancelledAt: undefined }],
    watchers: watch === undefined ? {} : { [watch.replicaId]: now + watch.milliseconds },
    unwatchedSince: watch === undefined ? now : undefined,
    unservedSince: undefined,
    offeredAt: now,
    fitCheckAt: now + Math.min(FIRST_FIT_CHECK, policy.unservedGrace),
    partialMetadata: undefined,
    queuedAt: now,
    startedAt: undefined,
    finishedAt: cached === undefined ? undefined : now,
    outcome: cached,
  };
  return { next: job, effects: cached === undefined ? [offer(job)] : notifyAll(job), accepted: true };
}
