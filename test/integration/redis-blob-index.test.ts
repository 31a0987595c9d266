import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RedisBlobIndex } from '../../src/adapters/blob-index/redis/redis-blob-index.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { digestOf } from '../../src/domain/digest.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { describeBlobIndex } from '../../src/ports/blob-index.suite.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { RedisServer } from '../support/redis-server.ts';

const signal = new AbortController().signal;
let fixtures = 0;

function createIndex(connection: RedisConnection, clock: FakeClock, name?: string): RedisBlobIndex {
  fixtures += 1;
  return new RedisBlobIndex({
    connection,
    keyPrefix: 'test:',
    name: name ?? `fixture-${fixtures}`,
    lease: 60_000,
    resolution: 10_000,
    now: () => clock.now(),
  });
}

function describeOn(what: string, connection: () => RedisConnection): void {
  describeBlobIndex(`RedisBlobIndex on ${what}`, async () => {
    const clock = new FakeClock();
    return {
      index: createIndex(connection(), clock),
      advance: (milliseconds) => clock.advance(milliseconds),
      [Symbol.asyncDispose]: async () => {},
    };
  });
}

describe('on one Redis', () => {
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

  describeOn('one Redis', () => connection);

  test('a replica sees what another has stored, reserved and claimed', async () => {
    const clock = new FakeClock();
    const [one, other] = [createIndex(connection, clock, 'shared'), createIndex(connection, clock, 'shared')];
    const [stored, reserved] = ['stored', 'reserved'].map((each) => digestOf(Buffer.from(each)));
    if (stored === undefined || reserved === undefined) throw new Error('unreachable');
    await one.reserve(stored, signal);
    await one.commit(stored, 0, signal);
    await one.reserve(reserved, signal);
    expect(await other.touch([stored, reserved], signal)).toEqual([reserved]);
    expect(await other.totals(signal)).toEqual(await one.totals(signal));
    await clock.advance(20_000);
    expect(await one.claim([stored], 0, signal)).toEqual([stored]);
    expect(await other.reserve(stored, signal)).toBe('evicting');
    expect(await other.claim([stored], 0, signal)).toEqual([]);
  });

  test('what is used over and over is written once in the time of the resolution', async () => {
    const clock = new FakeClock();
    const index = createIndex(connection, clock);
    const digest = digestOf(Buffer.from('often'));
    await index.reserve(digest, signal);
    await index.commit(digest, 0, signal);
    const observer = new Redis({ host: '127.0.0.1', port: server.port });
    const writes = async () => Number(/cmdstat_zadd:calls=(\d+)/.exec(await observer.info('commandstats'))?.[1] ?? 0);
    const before = await writes();
    for (let i = 0; i < 50; i++) await index.touch([digest], signal);
    expect(await writes()).toBe(before);
    await clock.advance(10_000);
    for (let i = 0; i < 50; i++) await index.touch([digest], signal);
    expect(await writes()).toBe(before + 1);
    observer.disconnect();
  });

  test('when its memory is full, new blobs are refused, and everything else goes on', async () => {
    const small = await RedisServer.start();
    const smallConnection = await connectToRedis(small.port);
    const observer = new Redis({ host: '127.0.0.1', port: small.port });
    try {
      const clock = new FakeClock();
      const index = createIndex(smallConnection, clock);
      const [stored, reserved, refused] = ['a', 'b', 'c'].map((each) => digestOf(Buffer.from(each)));
      if (stored === undefined || reserved === undefined || refused === undefined) throw new Error('unreachable');
      await index.reserve(stored, signal);
      await index.commit(stored, 0, signal);
      await index.reserve(reserved, signal);
      await observer.config('SET', 'maxmemory', '1');
      await expect(index.reserve(refused, signal)).rejects.toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED });
      expect(await index.touch([stored], signal)).toEqual([]);
      expect(await index.commit(reserved, 0, signal)).toBe(true);
      expect(await index.claim([stored], 0, signal)).toEqual([stored]);
      await index.settle([stored], [], signal);
      expect(await index.totals(signal)).toMatchObject({ blobs: 1 });
    } finally {
      observer.disconnect();
      await smallConnection.stop();
      await small[Symbol.asyncDispose]();
    }
  });
});

describe('on a Redis Cluster', () => {
  let cluster: RedisCluster;
  let connection: RedisConnection;
  beforeAll(async () => {
    cluster = await RedisCluster.start();
    connection = await connectToRedis(0, { mode: 'cluster', addresses: cluster.addresses });
  });
  afterAll(async () => {
    await connection.stop();
    await cluster[Symbol.asyncDispose]();
  });

  describeOn('a Redis Cluster', () => connection);
});
