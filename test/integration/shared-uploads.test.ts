import { setMaxListeners } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MemoryBlobStore } from '../../src/adapters/blob/memory/memory-blob-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import {
  RedisPartialUploads,
  type RedisPartialUploadsOptions,
} from '../../src/adapters/upload/redis/redis-partial-uploads.ts';
import { SharedUploads } from '../../src/adapters/upload/shared-uploads.ts';
import { digestOf } from '../../src/domain/digest.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { inChunks, someBytes } from '../../src/ports/blob-store.suite.ts';
import { describeUploadStore, UPLOAD_SUITE_OPTIONS } from '../../src/ports/upload-store.suite.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { RedisServer } from '../support/redis-server.ts';

/** Uploads that go on at another replica. */

const MEBIBYTE = 1024 * 1024;
const signal = new AbortController().signal;
setMaxListeners(0, signal);
const finished = () => true;
const unfinished = () => false;
let prefixes = 0;

/** Replicas over one store, each with its own `SharedUploads`. */
function createReplicas(connection: RedisConnection, changes: Partial<RedisPartialUploadsOptions> = {}) {
  prefixes += 1;
  const clock = new FakeClock();
  const blobs = new MemoryBlobStore(256 * MEBIBYTE);
  const { expiryMilliseconds, maximumPartialBytes, maximumPartialUploads } = UPLOAD_SUITE_OPTIONS;
  const options = {
    connection,
    keyPrefix: `uploads-${prefixes}:`,
    expiryMilliseconds,
    maximumUploadBytes: 64 * MEBIBYTE,
    maximumBytes: maximumPartialBytes,
    maximumUploads: maximumPartialUploads,
    now: () => clock.now(),
    ...changes,
  };
  const replica = () =>
    new SharedUploads({ blobs, partial: new RedisPartialUploads(options), clock, logger: silentLogger });
  return { clock, blobs, partial: new RedisPartialUploads(options), first: replica(), second: replica() };
}

function describeOn(name: string, connection: () => RedisConnection): void {
  describeUploadStore(`SharedUploads on ${name}`, async () => {
    const { first, blobs, clock } = createReplicas(connection());
    return { uploads: first, blobs, clock, dispose: () => first.close() };
  });
}

describe('one server', () => {
  let server: RedisServer;
  let connection: RedisConnection;
  beforeAll(async () => {
    server = await RedisServer.start();
    connection = await connectToRedis(server.port, { purpose: 'cache' });
  });
  afterAll(async () => {
    await connection.stop();
    await server[Symbol.asyncDispose]();
  });

  describeOn('one server', () => connection);

  const data = someBytes(6 * MEBIBYTE + 7, 5);
  const digest = digestOf(data);
  const half = 3 * MEBIBYTE + 5;

  async function* broken(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    yield* inChunks(bytes, 100_000);
    throw new Error('connection lost');
  }

  /** A source that gives these bytes and then nothing any more; `reached` resolves when they are taken. */
  function stalling(bytes: Uint8Array) {
    let reach!: () => void;
    const reached = new Promise<void>((resolve) => (reach = resolve));
    async function* source(): AsyncGenerator<Uint8Array> {
      yield* inChunks(bytes, 100_000);
      reach();
      await new Promise(() => {});
    }
    return { source: source(), reached };
  }

  test('an upload that broke off at one replica goes on at another', async () => {
    const { first, second, blobs } = createReplicas(connection, { maximumBytes: 64 * MEBIBYTE });
    await expect(first.receive('u', digest, 0, broken(data.subarray(0, half)), unfinished, signal)).rejects.toThrow(
      'connection lost',
    );
    expect(await second.status('u', digest, signal)).toEqual({ committedSize: half, complete: false });
    const rest = inChunks(data.subarray(half), 65_536);
    expect(await second.receive('u', digest, half, rest, finished, signal)).toEqual({
      committedSize: data.byteLength,
      complete: true,
    });
    expect(Buffer.from(await blobs.readWhole(digest, signal)).equals(data)).toBe(true);
    expect(await first.status('u', digest, signal)).toEqual({ committedSize: data.byteLength, complete: true });
  });

  test('what a stalled upload has brought is known elsewhere after a second', async () => {
    const { first, second, clock } = createReplicas(connection, { maximumBytes: 64 * MEBIBYTE });
    const { source, reached } = stalling(data.subarray(0, half));
    const stalled = first.receive('u', digest, 0, source, finished, signal);
    stalled.catch(() => {});
    await reached;
    await expect(second.status('u', digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
    await clock.advance(1_000);
    await expect
      .poll(() => second.status('u', digest, signal).catch(() => undefined))
      .toEqual({
        committedSize: half,
        complete: false,
      });
    const rest = inChunks(data.subarray(half), 65_536);
    expect(await second.receive('u', digest, half, rest, finished, signal)).toMatchObject({ complete: true });
    await first.close();
    await expect(stalled).rejects.toMatchObject({ code: StatusCode.ABORTED });
  });

  test('a replica that stops saves what it has', async () => {
    const { first, second } = createReplicas(connection, { maximumBytes: 64 * MEBIBYTE });
    const { source, reached } = stalling(data.subarray(0, half));
    const stalled = first.receive('u', digest, 0, source, finished, signal);
    stalled.catch(() => {});
    await reached;
    await first.close();
    expect(await second.status('u', digest, signal)).toEqual({ committedSize: half, complete: false });
  });

  test('an upload of a few megabytes in one go leaves nothing behind, and asks Redis for nothing', async () => {
    const { first, partial } = createReplicas(connection);
    const small = someBytes(4 * MEBIBYTE, 9);
    await connection.stop();
    try {
      expect(await first.receive('u', digestOf(small), 0, inChunks(small, 100_000), finished, signal)).toMatchObject({
        complete: true,
      });
      await expect(partial.size('u', signal)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    } finally {
      connection = await connectToRedis(server.port, { purpose: 'cache' });
    }
  });

  test('a larger one that was saved as it came leaves nothing behind either', async () => {
    const { first, second, blobs } = createReplicas(connection, { maximumBytes: 64 * MEBIBYTE });
    await first.receive('u', digest, 0, inChunks(data, 100_000), finished, signal);
    await blobs.delete(digest, signal);
    await expect(second.status('u', digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
  });

  test('of an upload beyond the bound the beginning is kept, and it goes on from there', async () => {
    const { first, second, blobs } = createReplicas(connection, {
      maximumBytes: 64 * MEBIBYTE,
      maximumUploadBytes: 2 * MEBIBYTE,
    });
    await expect(first.receive('u', digest, 0, broken(data.subarray(0, half)), unfinished, signal)).rejects.toThrow(
      'connection lost',
    );
    const { committedSize } = await second.status('u', digest, signal);
    expect(committedSize).toBe(2 * MEBIBYTE);
    await second.receive('u', digest, committedSize, inChunks(data.subarray(committedSize), 65_536), finished, signal);
    expect(Buffer.from(await blobs.readWhole(digest, signal)).equals(data)).toBe(true);
  });

  test('two replicas that feed one upload at once do no harm', async () => {
    const { first, second, blobs } = createReplicas(connection, { maximumBytes: 64 * MEBIBYTE });
    const outcomes = await Promise.all([
      first.receive('u', digest, 0, inChunks(data, 65_536), finished, signal),
      second.receive('u', digest, 0, inChunks(data, 100_000), finished, signal),
    ]);
    expect(outcomes.map(({ complete }) => complete)).toEqual([true, true]);
    expect(Buffer.from(await blobs.readWhole(digest, signal)).equals(data)).toBe(true);
  });

  test('wrong bytes that were saved are found out at the other replica, and forgotten', async () => {
    const { first, second, blobs } = createReplicas(connection, { maximumBytes: 64 * MEBIBYTE });
    const spoilt = data.map((byte, i) => (i === 9 ? byte ^ 1 : byte));
    await first.receive('u', digest, 0, inChunks(spoilt.subarray(0, half), 65_536), unfinished, signal);
    await expect(
      second.receive('u', digest, half, inChunks(data.subarray(half), 65_536), finished, signal),
    ).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    expect(await blobs.findMissing([digest], signal)).toEqual([digest]);
    await expect(first.status('u', digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
  });

  test('an upload goes on without Redis, and can only not be resumed', async () => {
    const impatient = await connectToRedis(server.port, { commandTimeout: 200 });
    const { first, blobs } = createReplicas(impatient);
    server.process.signal('SIGSTOP');
    try {
      const upload = first.receive('u', digest, 0, inChunks(data, 100_000), finished, signal);
      expect(await upload).toMatchObject({ complete: true });
      expect(await blobs.findMissing([digest], signal)).toEqual([]);
    } finally {
      server.process.signal('SIGCONT');
      await impatient.stop();
    }
  });
});

describe('a cluster', () => {
  let cluster: RedisCluster;
  let connection: RedisConnection;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
    connection = await connectToRedis(0, { mode: 'cluster', addresses: cluster.addresses.slice(0, 1) });
  });
  afterAll(async () => {
    await connection.stop();
    await cluster[Symbol.asyncDispose]();
  });

  describeOn('a cluster', () => connection);
});
