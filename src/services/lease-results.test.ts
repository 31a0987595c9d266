import { beforeEach, describe, expect, test } from 'vitest';
import { testInstance } from '../../test/support/instance.ts';
import { MapActionCacheStore } from '../../test/support/map-action-cache-store.ts';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { ReadOnlyActionCacheStore } from '../adapters/action-cache/read-only-action-cache-store.ts';
import { WriteOnceActionCacheStore } from '../adapters/action-cache/write-once-action-cache-store.ts';
import { digestOf } from '../domain/digest.ts';
import { digestToPlain, type Job } from '../domain/job.ts';
import { type Logger, silentLogger } from '../lib/log.ts';
import type { ActionCacheStore } from '../ports/action-cache-store.ts';
import { ActionResult } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { Lease } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { packAny } from '../wire/any.ts';
import { CompletenessCheckingActionResults } from './action-results.ts';
import { Instances } from './instances.ts';
import { LeaseResults } from './lease-results.ts';

const { signal } = new AbortController();
const action = digestOf(Buffer.from('action'));
const job = {
  id: '00-job',
  instanceName: 'main',
  actionDigest: digestToPlain(action),
  doNotCache: false,
  queuedAt: 0,
  startedAt: undefined,
} as unknown as Job;

let errors: string[];
let inner: MapActionCacheStore;
beforeEach(() => {
  errors = [];
  inner = new MapActionCacheStore();
});

/** What becomes of a result that a bot brings. */
async function judge(store: ActionCacheStore, exitCode: number, cacheFailedActions = false) {
  const logger: Logger = { ...silentLogger, error: (_fields, message) => errors.push(message) };
  const blobs = new MapBlobStore();
  const actionResults = new CompletenessCheckingActionResults(store, blobs, silentLogger);
  const instances = new Instances([testInstance(blobs, { actionResults, cacheFailedActions })]);
  const result = packAny(
    'build.bazel.remote.execution.v2.ActionResult',
    ActionResult.encode(ActionResult.create({ exitCode })).finish(),
  );
  return new LeaseResults({ instances, logger }).judge(job, Lease.create({ result }), 'bot', signal);
}

describe('the result of a bot', () => {
  test.each([
    ['that succeeded is cached', 0, false, true],
    ['that failed is not cached', 1, false, false],
    ['that failed is cached where the instance asks for it', 1, true, true],
  ])('%s', async (_, exitCode, cacheFailedActions, isCached) => {
    expect(await judge(inner, exitCode, cacheFailedActions)).toMatchObject({ kind: 'outcome', good: true });
    expect((await inner.get('main', action)) !== undefined).toBe(isCached);
  });

  test('reaches its clients where the cache is read-only, and is no error', async () => {
    expect(await judge(new ReadOnlyActionCacheStore(inner), 0)).toMatchObject({ kind: 'outcome', good: true });
    expect(errors).toEqual([]);
  });

  test('reaches its clients where the cache keeps an earlier one, and is no error', async () => {
    const store = new WriteOnceActionCacheStore(inner);
    await store.put(
      'main',
      action,
      ActionResult.encode(ActionResult.create({ exitCode: 0, stdoutRaw: Buffer.from('x') })).finish(),
      signal,
    );
    expect(await judge(store, 0)).toMatchObject({ kind: 'outcome', good: true });
    expect(errors).toEqual([]);
  });
});
