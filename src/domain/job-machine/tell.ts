import type { Job } from '../job.ts';
import { leaseId } from '../lease.ts';
import type { BuildLabels } from '../work.ts';
import type { JobEffect } from './effect.ts';
import type { Transition } from './transition.ts';

/** The event changed nothing because it came too late or from who has no say. */
export function refused(job: Job): Transition {
  return { next: job, effects: NOTHING, accepted: false };
}

const NOTHING: readonly JobEffect[] = [];

/** Every replica that streams the job hears of the change, if any does. */
export function notifyAll(job: Job): JobEffect[] {
  return [{ type: 'notify', replicaIds: Object.keys(job.watchers) }];
}

/** The broker hears that the job waits for its next attempt. */
export function offer(job: Job): JobEffect {
  return {
    type: 'offer',
    work: {
      jobId: job.id,
      attempt: job.attempts + 1,
      instanceName: job.instanceName,
      requirement: job.requirement,
      priority: job.priority,
      queuedAt: job.queuedAt,
      offeredAt: job.offeredAt,
      actionDigest: job.actionDigest,
      ...buildLabels(job),
    },
  };
}

/** Those of its first operation: a job that several builds share is named after the one that began it. */
export function buildLabels(job: Job): BuildLabels {
  const metadata = job.operations[0]?.requestMetadata;
  return {
    tool: metadata?.toolName ?? '',
    target: metadata?.targetId ?? '',
    mnemonic: metadata?.actionMnemonic ?? '',
    invocation: metadata?.toolInvocationId ?? '',
  };
}

/** The job's work queue, for messages to clients and operators. */
export function queueInWords({ requirement }: Job): string {
  return requirement.key === '' ? 'the queue without requirement' : `queue ${requirement.key}`;
}

function withdraw(job: Job): JobEffect {
  return { type: 'withdraw', queue: { instanceName: job.instanceName, requirement: job.requirement } };
}

/** What the job holds of the farm is let go: its place in the queue, or its bot. */
export function letGo(job: Job): JobEffect[] {
  if (job.state === 'queued') return [withdraw(job)];
  if (job.lease === undefined) return [];
  return [{ type: 'end-lease', botSessionName: job.lease.botSessionName, leaseId: leaseId(job.id, job.lease.attempt) }];
}
