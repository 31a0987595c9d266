import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFinished, type Job } from '../job.ts';
import { createRequirement } from '../platform.ts';
import { StatusCode } from '../status-code.ts';
import { createJob } from './create.ts';
import type { JobEvent, OfferLoss, Submission } from './event.ts';
import { nextDeadline } from './tick.ts';
import { transition } from './transition.ts';

const START = 1_000_000;

function submissionOf(changes: Partial<Submission> = {}): Submission {
  return {
    jobId: 'aa-00000000-0000-4000-8000-000000000001',
    instanceName: 'main',
    actionDigest: { digestFunction: 1, hash: 'a'.repeat(64), sizeBytes: 1 },
    action: new Uint8Array([1]),
    requirement: createRequirement([{ name: 'ISA', value: 'arm' }]),
    priority: 0,
    doNotCache: false,
    policy: {
      maxAttempts: 3,
      queueTimeout: 100_000,
      executionTimeout: 50_000,
      abandonAfter: 5_000,
      unservedGrace: 10_000,
      retention: 60_000,
    },
    operation: {
      id: 'aa-00000000-0000-4000-8000-000000000002',
      priority: 0,
      requestMetadata: undefined,
      inline: { stdout: false, stderr: false, outputFiles: [] },
    },
    watch: { replicaId: 'replica-1', milliseconds: 10_000_000 },
    cached: undefined,
    ...changes,
  };
}

const OUTCOME = { kind: 'response', encoded: new Uint8Array([1]) } as const;

function lease(attempt: number, botId = 'bot-1'): JobEvent {
  return { type: 'lease', attempt, botId, botSessionName: `main/${botId}`, leaseMilliseconds: 20_000 };
}

/** Applies events at times from the job's making, and gives what is left at the end. */
function after(job: Job, ...steps: ReadonlyArray<readonly [number, JobEvent]>) {
  let now: Job = job;
  let made = transition(now, { type: 'tick' }, START);
  for (const [at, event] of steps) {
    made = transition(now, event, START + at);
    if (made.next === undefined) break;
    now = made.next;
  }
  return { job: now, ...made };
}

const TICK: JobEvent = { type: 'tick' };

/** The RetryInfo of what another try may mend. */
const COME_AGAIN = [{ kind: 'retry-info', retryDelayMilliseconds: 5_000 }];

describe('deadlines', () => {
  const { next: job } = createJob(submissionOf(), START);

  test('a job that waits longer than the queue allows expires, and its client may come again', () => {
    const { job: ended, effects } = after(job, [100_000, TICK]);
    expect(ended).toMatchObject({
      state: 'expired',
      outcome: { status: { code: StatusCode.UNAVAILABLE, details: COME_AGAIN } },
    });
    expect(effects.map((each) => each.type)).toEqual(['withdraw', 'notify']);
  });

  test('time in the queue counts over all attempts, and lies behind once the job runs', () => {
    expect(after(job, [99_000, lease(1)], [101_000, TICK]).job.state).toBe('leased');
  });

  test('a lease that is not renewed goes back to the queue, and the bot is told', () => {
    const { job: queued, effects } = after(job, [0, lease(1)], [20_000, TICK]);
    expect(queued).toMatchObject({ state: 'queued', attempts: 1, lease: undefined });
    expect(effects.map((each) => each.type)).toEqual(['end-lease', 'offer', 'notify']);
  });

  test('a renewed lease lasts, but not beyond the execution timeout', () => {
    const renew: JobEvent = {
      type: 'renew',
      attempt: 1,
      botId: 'bot-1',
      leaseMilliseconds: 20_000,
      executing: true,
      partialMetadata: undefined,
    };
    expect(after(job, [0, lease(1)], [19_000, renew], [38_000, renew], [49_000, TICK]).job.state).toBe('executing');
    const { job: ended } = after(job, [0, lease(1)], [19_000, renew], [38_000, renew], [50_000, TICK]);
    expect(ended).toMatchObject({ state: 'expired', outcome: { status: { code: StatusCode.DEADLINE_EXCEEDED } } });
  });

  test('a watch that its replica does not renew counts as gone', () => {
    const watched = createJob(submissionOf({ watch: { replicaId: 'dead', milliseconds: 3_000 } }), START).next;
    expect(after(watched, [7_999, TICK]).job.state).toBe('queued');
    expect(after(watched, [8_000, TICK]).job.state).toBe('cancelled');
  });

  test('a finished job is forgotten after its retention, not before', () => {
    const cancel: JobEvent = { type: 'cancel', reason: 'test' };
    expect(after(job, [0, cancel], [59_999, TICK]).next?.state).toBe('cancelled');
    expect(after(job, [0, cancel], [60_000, TICK]).next).toBeUndefined();
  });

  test('a requirement that is covered in between gets the whole grace anew', () => {
    const unmet: JobEvent = { type: 'fit', unmet: 'no bot offers ISA=arm' };
    const met: JobEvent = { type: 'fit', unmet: undefined };
    expect(after(job, [0, unmet], [9_000, met], [10_000, unmet]).job.state).toBe('queued');
    const { job: failed } = after(job, [0, unmet], [5_000, unmet], [10_000, unmet]);
    expect(failed).toMatchObject({ state: 'failed', outcome: { status: { code: StatusCode.FAILED_PRECONDITION } } });
  });
});

describe('a renewed lease', () => {
  test('without news changes nothing that clients see, and is told to nobody', () => {
    const { next: job } = createJob(submissionOf(), START);
    const renew: JobEvent = {
      type: 'renew',
      attempt: 1,
      botId: 'bot-1',
      leaseMilliseconds: 20_000,
      executing: true,
      partialMetadata: undefined,
    };
    const once = after(job, [0, lease(1)], [1_000, renew]);
    const twice = after(job, [0, lease(1)], [1_000, renew], [2_000, renew]);
    expect(twice.effects).toEqual([]);
    expect(twice.job.version).toBe(once.job.version);
  });
});

describe('an offer whose message is lost', () => {
  const { next: job } = createJob(submissionOf(), START);
  const lost = (loss: OfferLoss, offeredAt = START, attempt = 1): JobEvent => ({
    type: 'offer-lost',
    attempt,
    offeredAt,
    loss,
  });

  test('is made again', () => {
    const { job: queued, effects } = after(job, [5_000, lost('resend')]);
    expect(queued).toMatchObject({ state: 'queued', offeredAt: START + 5_000 });
    expect(effects).toMatchObject([{ type: 'offer', work: { attempt: 1, offeredAt: START + 5_000 } }]);
  });

  test.each([
    [
      'expired',
      'expired',
      StatusCode.UNAVAILABLE,
      'waited 5 s in queue ISA=arm',
      COME_AGAIN,
      ['withdraw', 'notify', 'dead-letter'],
    ],
    ['fail', 'failed', StatusCode.ABORTED, 'lost from queue ISA=arm', [], ['withdraw', 'notify', 'dead-letter']],
    ['overflow', 'failed', StatusCode.RESOURCE_EXHAUSTED, 'queue ISA=arm is full', COME_AGAIN, ['withdraw', 'notify']],
  ] as const)('by %s ends the job, and says so', (loss, state, code, message, details, told) => {
    const { job: ended, effects } = after(job, [5_000, lost(loss)]);
    expect(ended).toMatchObject({
      state,
      outcome: { status: { code, message: expect.stringContaining(message) as string, details } },
    });
    expect(effects.map((each) => each.type)).toEqual(told);
  });

  test.each([
    ['that was made anew since', [[5_000, lost('resend')]], lost('expired')],
    ['whose job has been taken', [[5_000, lease(1)]], lost('expired')],
    [
      'of an attempt that is over',
      [
        [0, lease(1)],
        [0, { type: 'give-back', attempt: 1, botId: 'bot-1', reason: 'x' }],
      ],
      lost('expired'),
    ],
  ] as ReadonlyArray<[string, Array<readonly [number, JobEvent]>, JobEvent]>)(
    '%s changes nothing',
    (_what, before, event) => {
      const { job: still, accepted, effects } = after(job, ...before, [6_000, event]);
      expect({ accepted, effects }).toEqual({ accepted: false, effects: [] });
      expect(still).toBe(after(still, [6_000, event]).job);
    },
  );
});

describe('any history', () => {
  const attempt = fc.integer({ min: 1, max: 4 });
  const botId = fc.constantFrom('bot-1', 'bot-2');
  const event: fc.Arbitrary<JobEvent> = fc.oneof(
    fc.record({ attempt, botId }).map((each) => lease(each.attempt, each.botId)),
    fc.record({
      type: fc.constant('complete' as const),
      attempt,
      botId,
      outcome: fc.constant(OUTCOME),
      good: fc.boolean(),
    }),
    fc.record({ type: fc.constant('give-back' as const), attempt, botId, reason: fc.constant('lost') }),
    fc.constant<JobEvent>({ type: 'fit', unmet: 'none' }),
    fc
      .constantFrom<OfferLoss>('resend', 'fail', 'expired', 'overflow')
      .map((loss): JobEvent => ({ type: 'offer-lost', attempt: 1, offeredAt: START, loss })),
    fc.constant<JobEvent>({ type: 'unwatch', replicaId: 'replica-1' }),
    fc.constant<JobEvent>({ type: 'cancel-operation', operationId: 'aa-00000000-0000-4000-8000-000000000002' }),
    fc.constant<JobEvent>(TICK),
  );
  const history = fc.array(fc.record({ event, pass: fc.constantFrom(0, 1_000, 12_000) }), { maxLength: 60 });

  test('keeps the machine sound: versions grow, ends hold, attempts are bounded, and a lease stands only where one runs', () => {
    const property = fc.property(history, (steps) => {
      let job: Job = createJob(submissionOf(), START).next;
      let now = START;
      for (const step of steps) {
        now += step.pass;
        const made = transition(job, step.event, now);
        if (made.next === undefined) {
          assert(isFinished(job), 'only a finished job is forgotten here');
          return;
        }
        const { next } = made;
        assert(next.version >= job.version);
        assert(next.attempts <= next.policy.maxAttempts);
        assert.equal(next.lease !== undefined, next.state === 'leased' || next.state === 'executing');
        assert.equal(isFinished(next), next.outcome !== undefined);
        assert.equal(isFinished(next), next.finishedAt !== undefined);
        if (isFinished(job)) assert.deepEqual(next, job);
        if (!made.accepted) assert.equal(next, job);
        if (next.state !== job.state && next.state !== 'executing') {
          assert(next.version > job.version);
          assert(made.effects.some((each) => each.type === 'notify'));
        }
        if (next.state === 'queued' && job.state !== 'queued') {
          assert(made.effects.some((each) => each.type === 'offer'));
        }
        assert(Number.isFinite(nextDeadline(next)));
        job = next;
      }
    });
    expect(() => fc.assert(property, { numRuns: 500 })).not.toThrow();
  });

  test('ends, if time alone passes', () => {
    const property = fc.property(history, (steps) => {
      let job: Job = createJob(submissionOf(), START).next;
      let now = START;
      for (const step of steps) {
        now += step.pass;
        const made = transition(job, step.event, now);
        if (made.next === undefined) return;
        job = made.next;
      }
      for (let i = 0; i < 100; i++) {
        now = Math.max(now, nextDeadline(job));
        const made = transition(job, TICK, now);
        if (made.next === undefined) return;
        job = made.next;
        if (made.effects.some((each) => each.type === 'check-fit')) {
          job = transition(job, { type: 'fit', unmet: 'none' }, now).next ?? job;
        }
      }
      assert.fail(`still ${job.state} after a hundred deadlines`);
    });
    expect(() => fc.assert(property, { numRuns: 500 })).not.toThrow();
  });
});
