import { beforeEach, describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { MapActionCacheStore } from '../../test/support/map-action-cache-store.ts';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { WriteOnceActionCacheStore } from '../adapters/action-cache/write-once-action-cache-store.ts';
import { digestOf } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { StatusError } from '../domain/status-error.ts';
import { silentLogger } from '../lib/log.ts';
import {
  ActionResult,
  GetActionResultRequest,
  UpdateActionResultRequest,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../wire/digest.ts';
import { ActionCache } from './action-cache.ts';
import { CompletenessCheckingActionResults } from './action-results.ts';
import { Instances } from './instances.ts';

const context = callContext();
const actionDigest = digestToWire(digestOf(Buffer.from('action')));
let blobs: MapBlobStore;
let actionCache: ActionCache;

beforeEach(() => {
  blobs = new MapBlobStore();
  const actionResults = new CompletenessCheckingActionResults(new MapActionCacheStore(), blobs, silentLogger);
  const readOnly = { name: 'read-only', actionResults, actionCacheUpdateEnabled: false };
  actionCache = new ActionCache(new Instances([testInstance(blobs, { actionResults }), testInstance(blobs, readOnly)]));
});

const empty = new Uint8Array(0);
const get = (parts: Partial<GetActionResultRequest>) =>
  actionCache.getActionResult(
    { ...GetActionResultRequest.decode(empty), instanceName: 'main', actionDigest, ...parts },
    context,
  );
const update = (parts: Partial<UpdateActionResultRequest>) =>
  actionCache.updateActionResult(
    { ...UpdateActionResultRequest.decode(empty), instanceName: 'main', actionDigest, ...parts },
    context,
  );
const resultOf = (parts: Partial<ActionResult>): ActionResult => ({ ...ActionResult.decode(empty), ...parts });

async function failureOf(promise: Promise<unknown>): Promise<StatusError> {
  return promise.then(
    () => expect.fail('no error was thrown'),
    (thrown: unknown) => thrown as StatusError,
  );
}

test('what was put is found, with standard output where it is asked for', async () => {
  const actionResult = resultOf({ exitCode: 2, stdoutDigest: digestToWire(blobs.add('out')) });
  expect(await update({ actionResult })).toEqual(actionResult);
  expect(await get({})).toEqual(actionResult);
  expect((await get({ inlineStdout: true })).stdoutRaw.toString()).toBe('out');
});

test('what was never put is NOT_FOUND', async () => {
  expect((await failureOf(get({}))).code).toBe(StatusCode.NOT_FOUND);
});

test('an update where clients may not is PERMISSION_DENIED', async () => {
  const denied = update({ instanceName: 'read-only', actionResult: resultOf({}) });
  expect((await failureOf(denied)).code).toBe(StatusCode.PERMISSION_DENIED);
});

test('an update of a cache that keeps the first result answers that one', async () => {
  const actionResults = new CompletenessCheckingActionResults(
    new WriteOnceActionCacheStore(new MapActionCacheStore()),
    blobs,
    silentLogger,
  );
  actionCache = new ActionCache(new Instances([testInstance(blobs, { actionResults })]));
  await update({ actionResult: resultOf({ exitCode: 1 }) });
  expect((await update({ actionResult: resultOf({ exitCode: 2 }) })).exitCode).toBe(1);
});

describe('bad requests are INVALID_ARGUMENT', () => {
  test.each<[string, () => Promise<unknown>, string]>([
    ['no action', () => get({ actionDigest: undefined }), 'action_digest'],
    [
      'malformed action',
      () => get({ actionDigest: { hash: 'x', sizeBytes: 1n }, digestFunction: 1 }),
      'action_digest.hash',
    ],
    ['function that is not offered', () => get({ digestFunction: 4 }), 'digest_function'],
    ['instance that is not served', () => get({ instanceName: 'other' }), 'instance_name'],
    ['update without result', () => update({}), 'action_result: is not set'],
    ['update without action', () => update({ actionDigest: undefined, actionResult: resultOf({}) }), 'action_digest'],
    ['update of an instance that is not served', () => update({ instanceName: 'other' }), 'instance_name'],
    [
      'update with a path that leads out',
      () => update({ actionResult: resultOf({ outputSymlinks: [{ path: '../x', target: 'y' }] }) }),
      'action_result.output_symlinks[0].path',
    ],
  ])('%s', async (_, call, message) => {
    const error = await failureOf(call());
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain(message);
  });
});
