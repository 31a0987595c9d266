import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Job } from '../domain/job.ts';
import { createJob } from '../domain/job-machine/create.ts';
import type { JobEvent, Submission } from '../domain/job-machine/event.ts';
import { isJoinable } from '../domain/job-machine/join.ts';
import { isOnlyLookDue, mayWait, nextDeadline } from '../domain/job-machine/tick.ts';
import { transition } from '../domain/job-machine/transition.ts';
import { STAGE_NUMBERS } from '../domain/operation-query.ts';
import { createRequirement } from '../domain/platform.ts';
import { WaitingLines } from '../domain/waiting-lines.ts';
import type { JobStore } from './job-store.ts';

/** A store that a test has for itself, with a clock that the test moves. */
export interface JobStoreFixture extends AsyncDisposable {
  readonly store: JobStore;
  /** Moves the store's own clock. It may run on by itself, too, but by less than a second in a test. */
  readonly advance: (milliseconds: number) => Promise<void>;
  /** How many finished jobs it was told to keep; at least 20. */
  readonly maxFinished: number;
  /** How many operations may share a job; at least 20. */
  readonly maxOperationsPerJob: number;
}

const signal = new AbortController().signal;
const HASHES = ['a', 'b', 'c'].map((letter) => letter.repeat(64));
export const POLICY = {
  maxAttempts: 3,
  queueTimeout: 1_000_000,
  executionTimeout: 500_000,
  abandonAfter: 50_000,
  unservedGrace: 200_000,
  retention: 300_000,
};

/** Stands for when a job was last offered, in random events that are made before the job. */
export const OWN_OFFER = -1;

let lastNumber = 0;

function newId(hash: string): string {
  lastNumber += 1;
  return `${hash.slice(0, 2)}-00000000-0000-4000-8000-${lastNumber.toString(16).padStart(12, '0')}`;
}

/** A submission that needs no more than what a test cares for. */
export function submissionOf(changes: Partial<Submission> = {}): Submission & { readonly operationId: string } {
  const hash = changes.actionDigest?.hash ?? HASHES[0] ?? '';
  const operationId = changes.operation?.id ?? newId(hash);
  return {
    jobId: newId(hash),
    instanceName: 'main',
    actionDigest: { digestFunction: 1, hash, sizeBytes: 10 },
    action: new Uint8Array([1, 2, 0, 255]),
    requirement: createRequirement([]),
    priority: 0,
    doNotCache: false,
    policy: POLICY,
    operation: {
      id: operationId,
      priority: changes.priority ?? 0,
      requestMetadata: undefined,
      inline: { stdout: false, stderr: false, outputFiles: [] },
    },
    watch: { replicaId: 'replica-1', milliseconds: 10_000_000 },
    cached: undefined,
    operationId,
    ...changes,
  };
}

const GOOD = { kind: 'response', encoded: new Uint8Array([0, 7, 200]) } as const;

function lease(attempt: number, botId = 'bot-1'): JobEvent {
  return { type: 'lease', attempt, botId, botSessionName: `main/${botId}`, leaseMilliseconds: 60_000 };
}

function complete(attempt: number, botId = 'bot-1', good = true): JobEvent {
  return { type: 'complete', attempt, botId, outcome: GOOD, good };
}

/** What of a job must be equal in every store; times may differ by what a real clock runs on. */
function shapeOf(job: Job | undefined): unknown {
  if (job === undefined) return undefined;
  return {
    id: job.id,
    state: job.state,
    version: job.version,
    priority: job.priority,
    attempts: job.attempts,
    lease: job.lease === undefined ? undefined : [job.lease.attempt, job.lease.botId, job.lease.botSessionName],
    failedAttempts: job.failedAttempts.map(({ attempt, botId, reason }) => [attempt, botId, reason]),
    operations: job.operations.map(({ id, priority, cancelledAt }) => [id, priority, cancelledAt !== undefined]),
    watchers: Object.keys(job.watchers).sort(),
    unserved: job.unservedSince !== undefined,
    action: [...job.action],
    partialMetadata: job.partialMetadata === undefined ? undefined : [...job.partialMetadata],
    outcome: job.outcome?.kind === 'response' ? [...job.outcome.encoded] : job.outcome?.status,
  };
}

/** The rules of JobStore, for any implementation. */
export function describeJobStore(name: string, create: () => Promise<JobStoreFixture>): void {
  describe(`${name} as a JobStore`, () => {
    test('a submission makes a job, found by its id and by that of its operation', async () => {
      await using fixture = await create();
      const submission = submissionOf();
      const { job, joined, effects } = await fixture.store.submit(submission, signal);
      expect(joined).toBe(false);
      expect(effects.map((each) => each.type)).toEqual(['offer']);
      expect(shapeOf(await fixture.store.get(submission.jobId, signal))).toEqual(shapeOf(job));
      expect((await fixture.store.getByOperation(submission.operationId, signal))?.id).toBe(job.id);
      const all = await fixture.store.getAll([newId('b'.repeat(64)), submission.jobId, 'none of ours'], signal);
      expect(all.map(shapeOf)).toEqual([shapeOf(job)]);
      expect([...job.action]).toEqual([1, 2, 0, 255]);
    });

    test('what is not known is undefined, for every verb', async () => {
      await using fixture = await create();
      const unknown = newId(HASHES[0] ?? '');
      expect(await fixture.store.get(unknown, signal)).toBeUndefined();
      expect(await fixture.store.getByOperation(unknown, signal)).toBeUndefined();
      expect(await fixture.store.apply(unknown, { type: 'tick' }, signal)).toBeUndefined();
      await expect(fixture.store.settle([{ jobId: unknown, version: 1 }], signal)).resolves.toBeUndefined();
    });

    test.each([
      ['the same action', {}, true],
      ['the same action in another instance', { instanceName: 'other' }, false],
      [
        'another size under the same hash',
        { actionDigest: { digestFunction: 1, hash: HASHES[0] ?? '', sizeBytes: 11 } },
        false,
      ],
      ['an action that must not be cached', { doNotCache: true }, false],
    ])('%s: shared is %s', async (_what, changes, shared) => {
      await using fixture = await create();
      const base = 'doNotCache' in changes ? changes : {};
      const first = await fixture.store.submit(submissionOf(base), signal);
      const second = await fixture.store.submit(submissionOf(changes), signal);
      expect(second.joined).toBe(shared);
      expect(second.job.id === first.job.id).toBe(shared);
    });

    test('of submissions of one action at once one makes the job and the rest join it', async () => {
      await using fixture = await create();
      const all = await Promise.all(Array.from({ length: 20 }, () => fixture.store.submit(submissionOf(), signal)));
      expect(all.filter((each) => !each.joined)).toHaveLength(1);
      expect(new Set(all.map((each) => each.job.id)).size).toBe(1);
      expect((await fixture.store.get(all[0]?.job.id ?? '', signal))?.operations).toHaveLength(20);
    });

    test('a finished job is joined no more', async () => {
      await using fixture = await create();
      const { job } = await fixture.store.submit(submissionOf(), signal);
      await fixture.store.apply(job.id, lease(1), signal);
      await fixture.store.apply(job.id, complete(1), signal);
      expect((await fixture.store.submit(submissionOf(), signal)).joined).toBe(false);
    });

    test('of leases at once for one attempt exactly one counts', async () => {
      await using fixture = await create();
      const { job } = await fixture.store.submit(submissionOf(), signal);
      const bots = Array.from({ length: 20 }, (_, i) => `bot-${i}`);
      const applied = await Promise.all(bots.map((bot) => fixture.store.apply(job.id, lease(1, bot), signal)));
      expect(applied.filter((each) => each?.accepted)).toHaveLength(1);
    });

    test('a value that was given out does not change with what happens later', async () => {
      await using fixture = await create();
      const { job } = await fixture.store.submit(submissionOf(), signal);
      await fixture.store.apply(job.id, lease(1), signal);
      expect([job.state, job.attempts, job.version]).toEqual(['queued', 0, 1]);
    });

    test('a job born of the cache is finished, and does not stand in the way of a real one', async () => {
      await using fixture = await create();
      const { job } = await fixture.store.submit(submissionOf({ cached: GOOD }), signal);
      expect(job.state).toBe('completed');
      expect((await fixture.store.submit(submissionOf(), signal)).joined).toBe(false);
    });

    test('a passed deadline is given to one caller, and to another if nothing came of it', async () => {
      await using fixture = await create();
      const { job } = await fixture.store.submit(submissionOf({ watch: undefined }), signal);
      await fixture.advance(51_000);
      const due = { jobIds: [job.id], looks: [] };
      expect(await fixture.store.due(10, signal)).toEqual(due);
      expect(await fixture.store.due(10, signal)).toEqual({ jobIds: [], looks: [] });
      await fixture.advance(10_000);
      expect(await fixture.store.due(10, signal)).toEqual(due);
      await fixture.store.apply(job.id, { type: 'tick' }, signal);
      expect((await fixture.store.get(job.id, signal))?.state).toBe('cancelled');
    });

    test('a finished job is forgotten after its retention, operations and all', async () => {
      await using fixture = await create();
      const submission = submissionOf({ cached: GOOD });
      await fixture.store.submit(submission, signal);
      await fixture.advance(301_000);
      for (const jobId of (await fixture.store.due(10, signal)).jobIds)
        await fixture.store.apply(jobId, { type: 'tick' }, signal);
      expect(await fixture.store.get(submission.jobId, signal)).toBeUndefined();
      expect(await fixture.store.getByOperation(submission.operationId, signal)).toBeUndefined();
    });

    test('more finished jobs than the bound push out the oldest', async () => {
      await using fixture = await create();
      const submissions = Array.from({ length: fixture.maxFinished + 5 }, () => submissionOf({ cached: GOOD }));
      for (const each of submissions) await fixture.store.submit(each, signal);
      expect(await fixture.store.get(submissions[0]?.jobId ?? '', signal)).toBeUndefined();
      expect(await fixture.store.get(submissions.at(-1)?.jobId ?? '', signal)).toBeDefined();
      expect((await fixture.store.count(signal)).finished).toBeLessThanOrEqual(fixture.maxFinished);
    });

    test('refreshed watches bring back what changed, and name what is gone', async () => {
      await using fixture = await create();
      const [stale, fresh] = [submissionOf({ doNotCache: true }), submissionOf({ doNotCache: true })];
      await fixture.store.submit(stale, signal);
      await fixture.store.submit(fresh, signal);
      await fixture.store.apply(stale.jobId, lease(1), signal);
      const gone = newId(HASHES[1] ?? '');
      const known = [stale.jobId, fresh.jobId, gone].map((jobId) => ({ jobId, version: 1 }));
      const watch = { replicaId: 'replica-1', milliseconds: 60_000 };
      const refreshed = await fixture.store.refreshWatches(known, watch, signal);
      expect(refreshed.changed.map((each) => each.id)).toEqual([stale.jobId]);
      expect(refreshed.gone).toEqual([gone]);
    });

    test('lists come in pages without gap or double, though operations end between them', async () => {
      await using fixture = await create();
      const submissions = Array.from({ length: 7 }, () => submissionOf({ doNotCache: true }));
      for (const each of submissions) await fixture.store.submit(each, signal);
      await fixture.store.submit(submissionOf({ instanceName: 'other' }), signal);
      const query = {
        instanceName: 'main',
        conditions: [{ field: 'stage', comparison: '!=', value: STAGE_NUMBERS.COMPLETED }],
        sort: [{ field: 'name', descending: true }],
      } as const;
      const seen: string[] = [];
      let page = await fixture.store.list(query, 3, undefined, signal);
      seen.push(...page.operations.map((each) => each.operationId));
      // The last of the page ends, and the next page must begin behind it all the same.
      const edge = page.operations.at(-1)?.job.id ?? '';
      await fixture.store.apply(edge, { type: 'cancel', reason: 'test' }, signal);
      while (page.next !== undefined) {
        page = await fixture.store.list(query, 3, page.next, signal);
        seen.push(...page.operations.map((each) => each.operationId));
      }
      expect(seen).toEqual(
        submissions
          .map((each) => each.operationId)
          .sort()
          .reverse(),
      );
    });

    test('counts tell what waits, runs and has ended', async () => {
      await using fixture = await create();
      const jobs = Array.from({ length: 4 }, () => submissionOf({ doNotCache: true }));
      for (const each of jobs) await fixture.store.submit(each, signal);
      await fixture.store.apply(jobs[0]?.jobId ?? '', lease(1), signal);
      await fixture.store.apply(jobs[1]?.jobId ?? '', { type: 'cancel', reason: 'test' }, signal);
      expect(await fixture.store.count(signal)).toEqual({ queued: 2, leased: 1, finished: 1 });
    });

    test('a glance shows what waits, and what ended last, the youngest first', async () => {
      await using fixture = await create();
      const jobs = Array.from({ length: 4 }, () => submissionOf({ doNotCache: true }));
      for (const each of jobs) await fixture.store.submit(each, signal);
      const [waits, runs, endedFirst, endedLast] = jobs.map((each) => each.jobId);
      await fixture.store.apply(runs ?? '', lease(1), signal);
      await fixture.store.apply(endedFirst ?? '', { type: 'cancel', reason: 'test' }, signal);
      await fixture.advance(1_000);
      await fixture.store.apply(endedLast ?? '', { type: 'cancel', reason: 'test' }, signal);
      const { queued, finished } = await fixture.store.glance(10, signal);
      expect(queued.map(({ id }) => id)).toEqual([waits]);
      expect(finished.map(({ id }) => id)).toEqual([endedLast, endedFirst]);
      const { finished: fewer } = await fixture.store.glance(1, signal);
      expect(fewer.map(({ id }) => id)).toEqual([endedLast]);
    });

    test('what waits is told by queue, with its count and its oldest', async () => {
      await using fixture = await create();
      const requirement = createRequirement([{ name: 'ISA', value: 'arm;=%' }]);
      const older = submissionOf({ requirement, doNotCache: true });
      const { job } = await fixture.store.submit(older, signal);
      await fixture.advance(5_000);
      const hash = HASHES[1] ?? '';
      const actionDigest = { digestFunction: 1, hash, sizeBytes: 10 };
      await fixture.store.submit(submissionOf({ requirement, doNotCache: true, actionDigest }), signal);
      const elsewhere = submissionOf({ requirement, instanceName: 'other' });
      await fixture.store.submit(elsewhere, signal);
      const taken = submissionOf({ doNotCache: true });
      await fixture.store.submit(taken, signal);
      await fixture.store.apply(taken.jobId, lease(1), signal);
      const waiting = await fixture.store.waiting(signal);
      expect(waiting.toSorted((a, b) => b.jobs - a.jobs)).toMatchObject([
        { queue: { instanceName: 'main', requirement }, jobs: 2, oldestQueuedAt: job.queuedAt },
        { queue: { instanceName: 'other', requirement }, jobs: 1 },
      ]);
    });

    test('random histories end as the pure machine says', async () => {
      const property = fc.asyncProperty(fc.array(stepArbitrary, { minLength: 5, maxLength: 60 }), async (steps) => {
        await using fixture = await create();
        await replay(fixture, steps);
      });
      await expect(fc.assert(property, { numRuns: 60 })).resolves.toBeUndefined();
    }, 60_000);
  });
}

type Step =
  | {
      readonly kind: 'submit';
      readonly action: number;
      readonly priority: number;
      readonly doNotCache: boolean;
      readonly watched: boolean;
    }
  | { readonly kind: 'event'; readonly job: number; readonly event: JobEvent }
  | {
      readonly kind: 'operation';
      readonly job: number;
      readonly operation: number;
      readonly verb: 'cancel-operation' | 'delete-operation';
    }
  | { readonly kind: 'pass'; readonly milliseconds: number };

const attempt = fc.integer({ min: 1, max: 4 });
const botId = fc.constantFrom('bot-1', 'bot-2');
const eventArbitrary: fc.Arbitrary<JobEvent> = fc.oneof(
  fc.record({ attempt, botId }).map((each) => lease(each.attempt, each.botId)),
  fc.record({ attempt, botId, good: fc.boolean() }).map((each) => complete(each.attempt, each.botId, each.good)),
  fc.record({
    type: fc.constant('renew' as const),
    attempt,
    botId,
    leaseMilliseconds: fc.constant(60_000),
    executing: fc.boolean(),
    partialMetadata: fc.option(fc.uint8Array({ maxLength: 4 }), { nil: undefined }),
  }),
  fc.record({ type: fc.constant('give-back' as const), attempt, botId, reason: fc.constant('lost') }),
  fc.record({ type: fc.constant('fit' as const), unmet: fc.constantFrom(undefined, 'no bot has it') }),
  fc.record({
    type: fc.constant('offer-lost' as const),
    attempt: fc.integer({ min: 1, max: 3 }),
    // As often as not the job's own last offer, which each replay puts in.
    offeredAt: fc.constantFrom(0, OWN_OFFER),
    loss: fc.constantFrom('resend' as const, 'fail' as const, 'expired' as const, 'overflow' as const),
  }),
  fc.record({ type: fc.constant('unwatch' as const), replicaId: fc.constantFrom('replica-1', 'replica-2') }),
  fc
    .constantFrom('replica-1', 'replica-2')
    .map((replicaId): JobEvent => ({ type: 'watch', watch: { replicaId, milliseconds: 100_000 } })),
  fc.constant<JobEvent>({ type: 'tick' }),
  fc.constant<JobEvent>({ type: 'cancel', reason: 'by the operator' }),
);
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('submit' as const),
      action: fc.integer({ min: 0, max: 2 }),
      priority: fc.integer({ min: -2, max: 2 }),
      doNotCache: fc.boolean(),
      watched: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('event' as const), job: fc.nat({ max: 5 }), event: eventArbitrary }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('operation' as const),
      job: fc.nat({ max: 5 }),
      operation: fc.nat({ max: 3 }),
      verb: fc.constantFrom('cancel-operation' as const, 'delete-operation' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('pass' as const), milliseconds: fc.constantFrom(7_000, 61_000, 213_000) }),
  },
);

/** An event with the job's own last offer in its place. */
export function withOwnOffer(event: JobEvent, job: Job | undefined): JobEvent {
  if (event.type !== 'offer-lost' || event.offeredAt !== OWN_OFFER) return event;
  return { ...event, offeredAt: job?.offeredAt ?? 0 };
}

/** Takes the looks that are due out of the lines. */
function lookedAtInLines(lines: WaitingLines, model: ReadonlyMap<string, Job>, now: number): readonly Job[] {
  const looked: Job[] = [];
  for (let due = lines.nextDue(now); due !== undefined; due = lines.nextDue(now)) {
    const jobs = due.jobIds.map((id) => model.get(id)).filter((job) => job !== undefined);
    looked.push(...jobs.filter((job) => mayWait(job, now)));
    lines.lookAgain(due.line, now + POLICY.unservedGrace);
  }
  return looked;
}

/** Drives the store and the machine side by side, and compares after each step. */
async function replay({ store, advance }: JobStoreFixture, steps: readonly Step[]): Promise<void> {
  const model = new Map<string, Job>();
  const lines = new WaitingLines();
  const order: string[] = [];
  let now = 1_000_000;
  // Nothing stays owed, so that only deadlines make a job due.
  const settle = async (job: Job | undefined) => {
    if (job !== undefined) await store.settle([{ jobId: job.id, version: job.version }], signal);
  };
  const put = (jobId: string, job: Job | undefined) => {
    lines.note(model.get(jobId), job, now);
    if (job === undefined) model.delete(jobId);
    else model.set(jobId, job);
  };
  const both = async (jobId: string, event: JobEvent) => {
    const before = model.get(jobId);
    const applied = await store.apply(jobId, withOwnOffer(event, await store.get(jobId, signal)), signal);
    await settle(applied?.job);
    if (before === undefined) {
      assert.equal(applied, undefined);
      return;
    }
    const made = transition(before, withOwnOffer(event, before), now);
    put(jobId, made.next);
    assert.equal(applied?.accepted, made.accepted);
    assert.deepEqual(
      applied?.effects.map((each) => each.type),
      made.effects.map((each) => each.type),
    );
    assert.deepEqual(shapeOf(await store.get(jobId, signal)), shapeOf(made.next));
  };
  for (const step of steps) {
    switch (step.kind) {
      case 'submit': {
        const hash = HASHES[step.action] ?? '';
        const submission = submissionOf({
          actionDigest: { digestFunction: 1, hash, sizeBytes: 10 },
          priority: step.priority,
          doNotCache: step.doNotCache,
          ...(step.watched ? {} : { watch: undefined }),
        });
        const joinable = step.doNotCache
          ? undefined
          : [...model.values()].find((job) => isJoinable(job) && job.actionDigest.hash === hash);
        const submitted = await store.submit(submission, signal);
        await settle(submitted.job);
        const { operation, watch } = submission;
        const made =
          joinable === undefined
            ? createJob(submission, now)
            : transition(joinable, { type: 'join', operation, watch }, now);
        assert.equal(submitted.joined, joinable !== undefined);
        assert.deepEqual(shapeOf(submitted.job), shapeOf(made.next));
        if (made.next !== undefined) put(made.next.id, made.next);
        order.push(submitted.job.id);
        break;
      }
      case 'event':
        await both(order[step.job % Math.max(order.length, 1)] ?? newId(HASHES[0] ?? ''), step.event);
        break;
      case 'operation': {
        const job = model.get(order[step.job % Math.max(order.length, 1)] ?? '');
        const operation = job?.operations[step.operation];
        if (job !== undefined && operation !== undefined) {
          await both(job.id, { type: step.verb, operationId: operation.id });
        }
        break;
      }
      case 'pass': {
        now += step.milliseconds;
        await advance(step.milliseconds);
        const { jobIds, looks } = await store.due(100, signal);
        const expected = [...model.values()].filter((job) => nextDeadline(job) <= now);
        const looked = expected.filter((job) => isOnlyLookDue(job, now));
        const idsOf = (jobs: readonly Job[]) => jobs.map((job) => job.id).sort();
        assert.deepEqual(
          looks.map((look) => look.jobId).sort(),
          idsOf([...looked, ...lookedAtInLines(lines, model, now)]),
        );
        assert.deepEqual([...jobIds].sort(), idsOf(expected.filter((job) => !looked.includes(job))));
        for (const job of looked) {
          const { next } = transition(job, { type: 'tick' }, now);
          put(job.id, next);
        }
        for (const jobId of jobIds) await both(jobId, { type: 'tick' });
        break;
      }
    }
  }
}
