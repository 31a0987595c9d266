import type { Job } from '../job.ts';
import { statusOutcome } from '../outcome.ts';
import { StatusCode } from '../status-code.ts';
import type { JobEventOf } from './event.ts';
import { finish } from './finish.ts';
import { refused } from './tell.ts';
import type { Transition } from './transition.ts';

/** A queued job whose requirement no bot has covered for the whole grace fails, and says what no bot has. */
export function judgeFit(job: Job, event: JobEventOf<'fit'>, now: number): Transition {
  if (job.state !== 'queued') return refused(job);
  const grace = job.policy.unservedGrace;
  if (event.unmet === undefined) {
    return { next: { ...job, unservedSince: undefined, fitCheckAt: now + grace }, effects: [], accepted: true };
  }
  const since = job.unservedSince ?? now;
  if (now - since < grace) {
    return { next: { ...job, unservedSince: since, fitCheckAt: since + grace }, effects: [], accepted: true };
  }
  const message = `no bot can run this action: ${event.unmet} (waited ${Math.round(grace / 1_000)} s for one)`;
  const outcome = statusOutcome(StatusCode.FAILED_PRECONDITION, message, [
    {
      kind: 'precondition-failure',
      violations: [{ type: 'PLATFORM', subject: job.requirement.key, description: event.unmet }],
    },
  ]);
  const ended = finish(job, 'failed', outcome, now);
  return { ...ended, effects: [...ended.effects, { type: 'dead-letter', reason: message }] };
}
