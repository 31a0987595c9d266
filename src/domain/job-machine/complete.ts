import { isFinished, type Job } from '../job.ts';
import type { JobEventOf } from './event.ts';
import { finish } from './finish.ts';
import { refused } from './tell.ts';
import type { Transition } from './transition.ts';

/**
 * A bot's final word.
 *
 * The bot that holds the lease is believed whatever it says. One whose attempt is over is believed only if its result
 * is good: an Action is a pure function, so that the answer is right and waiting for another would be waste. The
 * younger attempt, if any, is stopped.
 */
export function completeJob(job: Job, event: JobEventOf<'complete'>, now: number): Transition {
  if (isFinished(job)) return refused(job);
  const current = isCurrentAttempt(job, event.attempt, event.botId);
  if (!current && !(event.good && wasAttempt(job, event.attempt, event.botId))) return refused(job);
  const ended = finish(job, 'completed', event.outcome, now);
  if (!current) return ended;
  return { ...ended, effects: ended.effects.filter((effect) => effect.type !== 'end-lease') };
}

/** Whether this bot holds the job's lease now, for this attempt. */
export function isCurrentAttempt(job: Job, attempt: number, botId: string): boolean {
  return job.lease !== undefined && job.lease.attempt === attempt && job.lease.botId === botId;
}

/** Whether this bot once held the job's lease for this attempt: what a bot says of its past is not taken on trust. */
export function wasAttempt(job: Job, attempt: number, botId: string): boolean {
  return job.failedAttempts.some((each) => each.attempt === attempt && each.botId === botId);
}
