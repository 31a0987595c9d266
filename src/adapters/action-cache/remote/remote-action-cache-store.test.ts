import { afterEach, expect, test } from 'vitest';
import { startStorageServer } from '../../../../test/support/storage-server.ts';
import { digestOf } from '../../../domain/digest.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { SystemClock } from '../../../lib/clock.ts';
import { ActionResult } from '../../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { parseEndpoint } from '../../grpc-client/endpoint.ts';
import { GrpcChannel } from '../../grpc-client/grpc-channel.ts';
import { Retrier } from '../../grpc-client/retrier.ts';
import { RemoteActionCacheStore } from './remote-action-cache-store.ts';

const signal = new AbortController().signal;
const action = digestOf(Buffer.from('action'));
const cleanups: Array<() => Promise<void> | void> = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function setUp(): Promise<RemoteActionCacheStore> {
  const server = await startStorageServer();
  const clock = new SystemClock();
  const channel = new GrpcChannel({ endpoint: parseEndpoint(`127.0.0.1:${server.port}`), clock });
  cleanups.push(
    () => server.stop(),
    () => channel.close(),
  );
  return new RemoteActionCacheStore(channel, new Retrier({ clock, random: () => 0 }));
}

test('an unknown action is undefined', async () => {
  const store = await setUp();
  expect(await store.get('main', action, signal)).toBeUndefined();
});

test('what was put is got', async () => {
  const store = await setUp();
  const result = ActionResult.encode(ActionResult.create({ exitCode: 3, stdoutRaw: Buffer.from('out') })).finish();
  await store.put('main', action, result, signal);
  const got = ActionResult.decode((await store.get('main', action, signal)) ?? new Uint8Array());
  expect(got).toMatchObject({ exitCode: 3, stdoutRaw: Buffer.from('out') });
});

test('a result whose blobs are not stored is refused', async () => {
  const store = await setUp();
  const result = ActionResult.create({ stdoutDigest: { hash: action.hash, sizeBytes: 6n } });
  await expect(store.put('main', action, ActionResult.encode(result).finish(), signal)).rejects.toMatchObject({
    code: StatusCode.FAILED_PRECONDITION,
  });
});

test('deleting is UNIMPLEMENTED', async () => {
  const store = await setUp();
  await expect(store.delete()).rejects.toMatchObject({ code: StatusCode.UNIMPLEMENTED });
});
