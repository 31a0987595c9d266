import type { Job } from '../job.ts';
import { retryableOutcome, statusOutcome } from '../outcome.ts';
import { StatusCode } from '../status-code.ts';
import type { JobEffect } from './effect.ts';
import type { JobEventOf } from './event.ts';
import { finish } from './finish.ts';
import { offer, queueInWords, refused } from './tell.ts';
import type { Transition } from './transition.ts';

/**
 * The message of an offer is gone from its queue: expired, pushed out, purged, deleted, moved.
 *
 * Only the last offer counts: one that was made anew since, for a younger attempt or at a higher priority, stands.
 */
export function loseOffer(job: Job, event: JobEventOf<'offer-lost'>, now: number): Transition {
  if (job.state !== 'queued' || event.attempt !== job.attempts + 1 || event.offeredAt !== job.offeredAt) {
    return refused(job);
  }
  const queue = queueInWords(job);
  switch (event.loss) {
    case 'resend': {
      const next: Job = { ...job, offeredAt: now };
      return { next, effects: [offer(next)], accepted: true };
    }
    case 'expired': {
      const message = `waited ${Math.round((now - job.offeredAt) / 1_000)} s in ${queue}, as long as its policy allows`;
      return withLetter(finish(job, 'expired', retryableOutcome(StatusCode.UNAVAILABLE, message), now), message);
    }
    case 'fail': {
      const message = `lost from ${queue}, which was purged or deleted, or whose messages were moved`;
      return withLetter(finish(job, 'failed', statusOutcome(StatusCode.ABORTED, message), now), message);
    }
    case 'overflow': {
      const message = `${queue} is full: its policy dropped this job for a younger one`;
      return finish(job, 'failed', retryableOutcome(StatusCode.RESOURCE_EXHAUSTED, message), now);
    }
  }
}

function withLetter(ended: Transition, reason: string): Transition {
  const effects: JobEffect[] = [...ended.effects, { type: 'dead-letter', reason }];
  return { ...ended, effects };
}
