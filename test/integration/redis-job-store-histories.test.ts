import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InProcessJobStore } from '../../src/adapters/state/in-process/in-process-job-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import type { JobEvent, Submission } from '../../src/domain/job-machine/event.ts';
import { createRequirement } from '../../src/domain/platform.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { OWN_OFFER, withOwnOffer } from '../../src/ports/job-store.suite.ts';
import type { AppliedEvent, JobStore } from '../../src/ports/job-store.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { createJobStore } from '../support/redis-fixtures.ts';
import { RedisServer } from '../support/redis-server.ts';

const signal = new AbortController().signal;
const HASHES = ['aa', 'ab', 'cd'].map((start) => start.padEnd(64, '0'));
/** What an operation, bot or reason may be called, with all that JSON, Lua patterns and lines might trip over. */
const text = fc.oneof(
  fc.constantFrom('bot-1', 'bot-2', '', '%d %s', 'a"b\\c/d', 'ünï→😀', 'two\nlines', '- 1 {', '\u0000\u007f'),
  fc.string({ unit: 'grapheme', maxLength: 8 }),
);
const milliseconds = fc.constantFrom(1, 999, 7_000, 61_000, 213_000);
const attempt = fc.integer({ min: 1, max: 4 });
const bot = fc.constantFrom('bot-1', 'bot "2"\n', 'bot-%3');
const replica = fc.constantFrom('replica-1', '2', 'ünï');
const outcome: fc.Arbitrary<NonNullable<Submission['cached']>> = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((encoded) => ({ kind: 'response' as const, encoded })),
  text.map((message) => ({
    kind: 'status' as const,
    status: {
      code: StatusCode.ABORTED,
      message,
      details: [{ kind: 'retry-info' as const, retryDelayMilliseconds: 1_000 }],
    },
  })),
);

interface Draft {
  readonly kind: 'submit';
  readonly action: number;
  readonly priority: number;
  readonly doNotCache: boolean;
  readonly replica: string | undefined;
  readonly cached: Submission['cached'];
  readonly property: string;
  readonly metadata: string | undefined;
  readonly queueTimeout: number | undefined;
}

type Step =
  | Draft
  | { readonly kind: 'event'; readonly job: number; readonly event: JobEvent }
  | { readonly kind: 'operation'; readonly job: number; readonly operation: number; readonly deleted: boolean }
  | { readonly kind: 'join'; readonly job: number; readonly priority: number; readonly replica: string | undefined }
  | { readonly kind: 'refresh'; readonly version: number; readonly replica: string }
  | { readonly kind: 'pass'; readonly milliseconds: number };

const draft: fc.Arbitrary<Draft> = fc.record({
  kind: fc.constant('submit' as const),
  action: fc.nat({ max: 2 }),
  priority: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  doNotCache: fc.boolean(),
  replica: fc.option(replica, { nil: undefined }),
  cached: fc.option(outcome, { nil: undefined, freq: 1 }),
  property: text,
  metadata: fc.option(text, { nil: undefined }),
  queueTimeout: fc.option(fc.constant(150_000), { nil: undefined }),
});

const event: fc.Arbitrary<JobEvent> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('lease' as const),
      attempt,
      botId: bot,
      botSessionName: text,
      leaseMilliseconds: milliseconds,
    }),
  },
  fc.record({
    type: fc.constant('renew' as const),
    attempt,
    botId: bot,
    leaseMilliseconds: milliseconds,
    executing: fc.boolean(),
    partialMetadata: fc.option(fc.uint8Array({ maxLength: 4 }), { nil: undefined }),
  }),
  fc.record({ type: fc.constant('complete' as const), attempt, botId: bot, outcome, good: fc.boolean() }),
  fc.record({ type: fc.constant('give-back' as const), attempt, botId: bot, reason: text }),
  fc.record({ type: fc.constant('fit' as const), unmet: fc.option(text, { nil: undefined }) }),
  fc.record({
    type: fc.constant('offer-lost' as const),
    attempt,
    // As often as not the job's own last offer, which each replay puts in.
    offeredAt: fc.constantFrom(0, OWN_OFFER),
    loss: fc.constantFrom('resend' as const, 'fail' as const, 'expired' as const, 'overflow' as const),
  }),
  fc.record({ type: fc.constant('unwatch' as const), replicaId: replica }),
  fc.record({
    type: fc.constant('watch' as const),
    watch: fc.record({ replicaId: replica, milliseconds }),
  }),
  fc.record({ type: fc.constant('cancel' as const), reason: text }),
  fc.constant<JobEvent>({ type: 'tick' }),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: draft },
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('event' as const), job: fc.nat({ max: 5 }), event }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('operation' as const),
      job: fc.nat({ max: 5 }),
      operation: fc.nat({ max: 2 }),
      deleted: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('join' as const),
      job: fc.nat({ max: 5 }),
      priority: fc.integer({ min: -5, max: 5 }),
      replica: fc.option(replica, { nil: undefined }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('refresh' as const), version: fc.nat({ max: 4 }), replica }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), milliseconds }) },
);

let server: RedisServer;
let connection: RedisConnection;

beforeAll(async () => {
  server = await RedisServer.start();
  connection = await connectToRedis(server.port);
});

afterAll(async () => {
  await connection.stop();
  await server[Symbol.asyncDispose]();
});

/** Both stores, given the same calls; whatever they answer must be equal to the last bit. */
class TwoStores {
  readonly clock = new FakeClock();
  readonly jobIds: string[] = [];
  readonly #inProcess: JobStore;
  readonly #redis: JobStore;
  #number = 0;

  constructor() {
    this.#inProcess = new InProcessJobStore({ clock: this.clock, maxFinished: 1_000, maxUnfinished: 1_000 });
    this.#redis = createJobStore(connection, { now: () => this.clock.now() });
  }

  newId(hash: string): string {
    this.#number += 1;
    return `${hash.slice(0, 2)}-00000000-0000-4000-8000-${this.#number.toString(16).padStart(12, '0')}`;
  }

  jobId(index: number): string {
    return this.jobIds[index % Math.max(1, this.jobIds.length)] ?? this.newId(HASHES[0] ?? '');
  }

  /** Makes a call on both, and gives what both answer. */
  async both<T>(call: (store: JobStore) => Promise<T>): Promise<T> {
    const expected = await call(this.#inProcess);
    assert.deepEqual(plain(await call(this.#redis)), plain(expected));
    return expected;
  }

  /** As the runner of effects does: so that nothing but deadlines makes a job due. */
  async settle(jobId: string, applied: AppliedEvent | undefined): Promise<void> {
    const { job } = applied ?? {};
    if (job !== undefined) await this.#redis.settle([{ jobId, version: job.version }], signal);
  }

  async apply(jobId: string, happens: JobEvent): Promise<void> {
    await this.settle(jobId, await this.both((store) => store.apply(jobId, happens, signal)));
  }
}

/** The same as plain data, with what has no order put in one. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value];
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      name === 'replicaIds' ? [...(each as string[])].sort() : plain(each),
    ]),
  );
}

function submissionOf(stores: TwoStores, each: Draft): Submission {
  const hash = HASHES[each.action] ?? '';
  return {
    jobId: stores.newId(hash),
    instanceName: each.action === 2 ? '' : 'team/a.b',
    actionDigest: { digestFunction: 1, hash, sizeBytes: 10 },
    action: new Uint8Array([0, 1, 254, 255]),
    requirement: createRequirement(each.property === '' ? [] : [{ name: 'OSFamily', value: each.property }]),
    priority: each.priority,
    doNotCache: each.doNotCache,
    policy: {
      maxAttempts: 2,
      queueTimeout: each.queueTimeout,
      executionTimeout: 300_000,
      abandonAfter: 100_500,
      unservedGrace: 65_000,
      retention: 200_000,
    },
    operation: {
      id: stores.newId(hash),
      priority: each.priority,
      requestMetadata: each.metadata === undefined ? undefined : metadataOf(each.metadata),
      inline: { stdout: true, stderr: false, outputFiles: [each.property] },
    },
    watch: each.replica === undefined ? undefined : { replicaId: each.replica, milliseconds: 400_000 },
    cached: each.cached,
  };
}

function metadataOf(name: string) {
  return {
    toolName: name,
    toolVersion: '',
    actionId: '',
    toolInvocationId: name,
    correlatedInvocationsId: '',
    actionMnemonic: name,
    targetId: name,
    configurationId: '',
  };
}

async function take(stores: TwoStores, each: Step): Promise<void> {
  switch (each.kind) {
    case 'submit': {
      const submission = submissionOf(stores, each);
      const submitted = await stores.both((store) => store.submit(submission, signal));
      await stores.settle(submitted.job.id, submitted);
      stores.jobIds.push(submitted.job.id);
      await stores.both((store) => store.getByOperation(submission.operation.id, signal));
      break;
    }
    case 'event': {
      const jobId = stores.jobId(each.job);
      const job = await stores.both((store) => store.get(jobId, signal));
      await stores.apply(jobId, withOwnOffer(each.event, job));
      break;
    }
    case 'join': {
      const jobId = stores.jobId(each.job);
      const { replica: replicaId, priority } = each;
      const watch = replicaId === undefined ? undefined : { replicaId, milliseconds: 50_000 };
      const operation = {
        id: stores.newId(jobId),
        priority,
        requestMetadata: undefined,
        inline: { stdout: false, stderr: true, outputFiles: [] },
      };
      await stores.apply(jobId, { type: 'join', operation, watch });
      break;
    }
    case 'operation': {
      const jobId = stores.jobId(each.job);
      const job = await stores.both((store) => store.get(jobId, signal));
      const operationId = job?.operations[each.operation]?.id ?? stores.newId(jobId);
      await stores.apply(jobId, { type: each.deleted ? 'delete-operation' : 'cancel-operation', operationId });
      await stores.both((store) => store.getByOperation(operationId, signal));
      break;
    }
    case 'refresh': {
      const known = [...new Set(stores.jobIds)].map((jobId) => ({ jobId, version: each.version }));
      const watch = { replicaId: each.replica, milliseconds: 90_000 };
      await stores.both(async (store) => {
        const { changed, gone } = await store.refreshWatches(known, watch, signal);
        return { changed: [...changed].sort((a, b) => (a.id < b.id ? -1 : 1)), gone: [...gone].sort() };
      });
      break;
    }
    case 'pass': {
      await stores.clock.advance(each.milliseconds);
      const due = await stores.both(async (store) => {
        const { jobIds, looks } = await store.due(1_000, signal);
        return { jobIds: [...jobIds].sort(), looks: [...looks].sort((a, b) => (a.jobId < b.jobId ? -1 : 1)) };
      });
      for (const jobId of due.jobIds) await stores.apply(jobId, { type: 'tick' });
      break;
    }
  }
}

describe('the store in Redis and the one in the process', () => {
  test('answer every call of a random history alike', async () => {
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const stores = new TwoStores();
      for (const each of steps) await take(stores, each);
      await stores.both((store) => store.count(signal));
      for (const jobId of stores.jobIds) await stores.both((store) => store.get(jobId, signal));
      const everything = { instanceName: undefined, conditions: [], sort: [] } as const;
      await stores.both(async (store) => {
        const { operations, next } = await store.list(everything, 1_000, undefined, signal);
        return { operations: operations.map(({ job, operationId }) => ({ job, operationId })), next };
      });
    });
    await expect(fc.assert(property, { numRuns: 150 })).resolves.toBeUndefined();
  }, 120_000);
});
