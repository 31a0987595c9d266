import { setMaxListeners } from 'node:events';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RedisActionCacheStore } from '../../src/adapters/action-cache/redis/redis-action-cache-store.ts';
import { PlainBlobBackend } from '../../src/adapters/blob/plain-blob-backend.ts';
import { RedisBlobStore } from '../../src/adapters/blob/redis/redis-blob-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { RedisEntries } from '../../src/adapters/state/redis/redis-entries.ts';
import { ResumableUploads } from '../../src/adapters/upload/resumable-uploads.ts';
import { digestOf } from '../../src/domain/digest.ts';
import { DIGEST_FUNCTIONS } from '../../src/domain/digest-function.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { describeActionCacheStore } from '../../src/ports/action-cache-store.suite.ts';
import { describeBlobStore, someBytes } from '../../src/ports/blob-store.suite.ts';
import { describeUploadStore, UPLOAD_SUITE_OPTIONS } from '../../src/ports/upload-store.suite.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { RedisServer } from '../support/redis-server.ts';

/** Blobs and results in Redis. */

const MAXIMUM_BLOB_BYTES = 8 * 1024 * 1024;
const WEEK = 7 * 86_400_000;
const signal = new AbortController().signal;
setMaxListeners(0, signal);
let prefixes = 0;

function entries(connection: RedisConnection, unusedMilliseconds?: number): RedisEntries {
  prefixes += 1;
  return new RedisEntries({ connection, prefix: `cache-${prefixes}[*]:`, unusedMilliseconds });
}

function blobs(connection: RedisConnection, unusedMilliseconds?: number): RedisBlobStore {
  return new RedisBlobStore(entries(connection, unusedMilliseconds), MAXIMUM_BLOB_BYTES, silentLogger);
}

function describeCaches(name: string, connection: () => RedisConnection): void {
  const dispose = async () => {};
  describeBlobStore(`RedisBlobStore on ${name}`, async () => ({ store: blobs(connection()), dispose }));
  describeBlobStore(`RedisBlobStore with a time limit on ${name}`, async () => ({
    store: blobs(connection(), WEEK),
    dispose,
  }));
  describeActionCacheStore(`RedisActionCacheStore on ${name}`, async () => ({
    store: new RedisActionCacheStore(entries(connection(), WEEK)),
    dispose,
  }));

  test('every stored blob is listed, and nothing else', async () => {
    const [store, other] = [blobs(connection()), blobs(connection())];
    const digests = Array.from({ length: 50 }, (_, i) => digestOf(someBytes(1 + i, i + 1)));
    await Promise.all(digests.map((digest, i) => store.write(digest, someBytes(1 + i, i + 1), signal)));
    await other.write(digestOf(someBytes(99)), someBytes(99), signal);
    const listed = new Set<string>();
    for await (const { digest } of store.list(signal)) listed.add(digest.hash);
    expect([...listed].sort()).toEqual(digests.map(({ hash }) => hash).sort());
  });
}

describe('one server', () => {
  let server: RedisServer;
  let connection: RedisConnection;
  let redis: Redis;

  beforeAll(async () => {
    server = await RedisServer.start();
    connection = await connectToRedis(server.port, { purpose: 'cache' });
    redis = new Redis(server.port);
  });
  afterAll(async () => {
    redis.disconnect();
    await connection.stop();
    await server[Symbol.asyncDispose]();
  });

  describeCaches('one server', () => connection);

  describeUploadStore('ResumableUploads over RedisBlobStore', async () => {
    const backend = new PlainBlobBackend(blobs(connection));
    const clock = new FakeClock();
    const uploads = new ResumableUploads(backend, clock, UPLOAD_SUITE_OPTIONS);
    return { uploads, blobs: backend, clock, dispose: () => uploads.close() };
  });

  const data = someBytes(1000);
  const digest = digestOf(data);

  /** The one key of a store with one blob. */
  async function keyOf(store: RedisBlobStore): Promise<string> {
    const name = `cache-${prefixes}[*]:${digest.digestFunction.name.toLowerCase()}:${digest.hash}:${digest.sizeBytes}`;
    expect(await store.findMissing([digest], signal)).toEqual([]);
    expect(await redis.exists(name)).toBe(1);
    return name;
  }

  test('keeps equal bytes of different digest functions apart', async () => {
    const store = blobs(connection);
    const digests = DIGEST_FUNCTIONS.map((each) => digestOf(data, each));
    for (const each of digests) await store.write(each, data, signal);
    await store.delete(digest, signal);
    expect(await store.findMissing(digests, signal)).toEqual([digest]);
  });

  test.each([
    ['a flipped bit', (bytes: Buffer) => bytes.map((byte, i) => (i === 5 ? byte ^ 1 : byte))],
    ['a truncation', (bytes: Buffer) => bytes.subarray(1)],
  ])('%s is DATA_LOSS once, then the blob is missing, and the next upload mends it', async (_, spoil) => {
    const store = blobs(connection);
    await store.write(digest, data, signal);
    const key = await keyOf(store);
    await redis.set(key, Buffer.from(spoil(Buffer.from(data))));
    await expect(store.readWhole(digest, signal)).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
    await store.write(digest, data, signal);
    expect(Buffer.from(await store.readWhole(digest, signal)).equals(data)).toBe(true);
  });

  test.each([
    ['findMissing', (store: RedisBlobStore) => store.findMissing([digest], signal)],
    ['readWhole', (store: RedisBlobStore) => store.readWhole(digest, signal)],
    ['write', (store: RedisBlobStore) => store.write(digest, data, signal)],
  ])('%s extends the life of a blob', async (_, use) => {
    const store = blobs(connection, WEEK);
    await store.write(digest, data, signal);
    const key = await keyOf(store);
    await redis.pexpire(key, 60_000);
    await use(store);
    expect(await redis.pttl(key)).toBeGreaterThan(60_000);
  });

  test('without a time limit nothing expires', async () => {
    const store = blobs(connection);
    await store.write(digest, data, signal);
    expect(await redis.pttl(await keyOf(store))).toBe(-1);
  });

  test('a blob above the limit is refused, and the limit named', async () => {
    const store = new RedisBlobStore(entries(connection), 999, silentLogger);
    await expect(store.write(digest, data, signal)).rejects.toMatchObject({
      code: StatusCode.INVALID_ARGUMENT,
      message: expect.stringContaining('999'),
    });
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
  });

  test('many blobs that are asked for at the same moment go in few writes', async () => {
    const store = blobs(connection, WEEK);
    const digests = Array.from({ length: 2_000 }, (_, i) => digestOf(Buffer.from(`absent ${i}`)));
    const before = Number(/total_reads_processed:(\d+)/.exec(await redis.info('stats'))?.[1]);
    expect(await store.findMissing(digests, signal)).toHaveLength(2_000);
    const after = Number(/total_reads_processed:(\d+)/.exec(await redis.info('stats'))?.[1]);
    expect(after - before).toBeLessThan(200);
  });
});

test('a full Redis that drops nothing is RESOURCE_EXHAUSTED, and reads go on', async () => {
  await using server = await RedisServer.start({ settings: { maxmemory: '3mb', 'maxmemory-policy': 'noeviction' } });
  const connection = await connectToRedis(server.port, { purpose: 'cache' });
  const store = blobs(connection);
  const first = someBytes(1000, 1);
  await store.write(digestOf(first), first, signal);
  const fill = async () => {
    for (let i = 2; i < 100; i++) await store.write(digestOf(someBytes(100_000, i)), someBytes(100_000, i), signal);
  };
  await expect(fill()).rejects.toMatchObject({
    code: StatusCode.RESOURCE_EXHAUSTED,
    details: [{ kind: 'retry-info' }],
  });
  expect(Buffer.from(await store.readWhole(digestOf(first), signal)).equals(first)).toBe(true);
  await connection.stop();
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

  describeCaches('a cluster', () => connection);
});
