import { setMaxListeners } from 'node:events';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import type { RedisJobStore } from '../../src/adapters/state/redis/redis-job-store.ts';
import type { Job } from '../../src/domain/job.ts';
import { SHARDS } from '../../src/domain/shard.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { assetOf, describeAssetStore, keyOf } from '../../src/ports/asset-store.suite.ts';
import { describeBotSessionStore } from '../../src/ports/bot-session-store.suite.ts';
import { describeJobLooks } from '../../src/ports/job-looks.suite.ts';
import { describeJobSharing } from '../../src/ports/job-sharing.suite.ts';
import { describeJobStore, submissionOf } from '../../src/ports/job-store.suite.ts';
import { describeLogStreamStore } from '../../src/ports/log-stream-store.suite.ts';
import { describeWorkQueueRegistry } from '../../src/ports/work-queue-registry.suite.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import {
  assetStoreSubject,
  botSessionStoreFixture,
  createAssetStore,
  createJobStore,
  jobStoreFixture,
  logStreamStoreFixture,
  workQueueRegistryFixture,
} from '../support/redis-fixtures.ts';
import { SentinelGroup } from '../support/redis-sentinel.ts';
import { RedisServer } from '../support/redis-server.ts';

const signal = new AbortController().signal;
setMaxListeners(0, signal);

function describeStores(name: string, connection: () => RedisConnection): void {
  describeJobStore(`RedisJobStore on ${name}`, () => jobStoreFixture(connection()));
  describeJobLooks(`RedisJobStore on ${name}`, () => jobStoreFixture(connection()));
  describeJobSharing(`RedisJobStore on ${name}`, () => jobStoreFixture(connection()));
  describeBotSessionStore(`RedisBotSessionStore on ${name}`, () => botSessionStoreFixture(connection()));
  describeAssetStore(`RedisAssetStore on ${name}`, () => assetStoreSubject(connection()));
  describeWorkQueueRegistry(`RedisWorkQueueRegistry on ${name}`, () => workQueueRegistryFixture(connection()));
  describeLogStreamStore(`RedisLogStreamStore on ${name}`, () => logStreamStoreFixture(connection()));
}

/** A job in each shard. */
async function submitToAllShards(store: RedisJobStore): Promise<readonly Job[]> {
  const submissions = Array.from({ length: 256 }, (_, i) =>
    submissionOf({
      actionDigest: { digestFunction: 1, hash: i.toString(16).padStart(2, '0').repeat(32), sizeBytes: 1 },
    }),
  );
  const submitted = await Promise.all(submissions.map((each) => store.submit(each, signal)));
  return submitted.map(({ job }) => job);
}

describe('one server', () => {
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

  describeStores('one server', () => connection);

  test('finds what an older replica wrote or left behind, which knew no lines', async () => {
    const client = new Redis(server.url);
    const keyPrefix = 'older-replica:';
    let now = 1_000_000;
    const store = createJobStore(connection, { keyPrefix, now: () => now });
    const { job } = await store.submit(submissionOf(), signal);
    await store.settle([{ jobId: job.id, version: 1 }], signal);
    const shard = `${keyPrefix}{${job.id.slice(0, 2)}}`;
    const [line = ''] = await client.zrange(`${shard}:lines`, '0', '-1');
    await client.del(`${shard}:lines`, `${shard}:line:${line}`);
    await client.zadd(`${shard}:deadlines`, job.fitCheckAt, job.id);
    now += 2_000;
    expect(await store.due(10, signal)).toEqual({ jobIds: [], looks: [] });
    expect((await store.due(10, signal)).looks.map((look) => look.jobId)).toEqual([job.id]);
    const gone = `${job.id.slice(0, -1)}f`;
    await store.apply(job.id, { type: 'cancel', reason: 'enough' }, signal);
    await client.zadd(`${shard}:line:${line}`, 1, gone);
    await client.zadd(`${shard}:lines`, now, line);
    expect(await store.due(10, signal)).toEqual({ jobIds: [], looks: [] });
    expect(await client.exists(`${shard}:lines`, `${shard}:line:${line}`)).toBe(0);
    client.disconnect();
  });

  test('keeps no line longer than what stands in it', async () => {
    const client = new Redis(server.url);
    const keyPrefix = 'line-lives:';
    const store = createJobStore(connection, { keyPrefix });
    const { job } = await store.submit(submissionOf(), signal);
    const bot = { attempt: 1, botId: 'bot' };
    await store.apply(job.id, { type: 'lease', ...bot, botSessionName: 'session', leaseMilliseconds: 1_000 }, signal);
    expect(await client.keys(`${keyPrefix}{*}:line*`)).toEqual([]);
    await store.apply(job.id, { type: 'give-back', ...bot, reason: 'refused' }, signal);
    const keys = await client.keys(`${keyPrefix}{*}:line*`);
    expect(keys).toHaveLength(2);
    for (const key of keys) expect(await client.pttl(key)).toBeGreaterThan(0);
    client.disconnect();
  });

  test('keeps no asset for ever, and no more of them than configured', async () => {
    const client = new Redis(server.url);
    const keyPrefix = 'bounded-assets:';
    const store = createAssetStore(connection, { keyPrefix, maximumAssets: SHARDS.length * 2, retention: 60_000 });
    const keys = Array.from({ length: 2_000 }, (_, i) => keyOf(`urn:${i}`));
    await Promise.all(keys.map((key) => store.put(key, assetOf('content'), signal)));
    const stored = await client.keys(`${keyPrefix}*`);
    const assets = stored.filter((key) => key.includes(':asset:'));
    expect(assets.length).toBeLessThanOrEqual(SHARDS.length * 2);
    expect(assets.length).toBeGreaterThan(SHARDS.length);
    const lives = await Promise.all(stored.map((key) => client.pttl(key)));
    expect(Math.min(...lives)).toBeGreaterThan(0);
    expect(Math.max(...lives)).toBeLessThanOrEqual(60_000);
    client.disconnect();
  });

  test('keeps an asset that is asked for, though not past its own time', async () => {
    let now = 1_000_000;
    const store = createAssetStore(connection, { retention: 60_000, now: () => now });
    await store.put(keyOf('urn:a'), assetOf('content', { expiresAt: now + 100_000 }), signal);
    for (const at of [1_050_000, 1_099_999]) {
      now = at;
      expect(await store.get(keyOf('urn:a'), signal)).toBeDefined();
    }
    now = 1_100_000;
    expect(await store.get(keyOf('urn:a'), signal)).toBeUndefined();
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

  describeStores('a cluster', () => connection);

  test('holds the shards of jobs on all its nodes', async () => {
    const store = createJobStore(connection);
    await submitToAllShards(store);
    expect(await store.count(signal)).toEqual({ queued: 256, leased: 0, finished: 0 });
  });
});

describe('a cluster that loses a node', () => {
  test('answers UNAVAILABLE for its shards, and all again once it is back', async () => {
    await using cluster = await RedisCluster.start();
    const connection = await connectToRedis(0, {
      mode: 'cluster',
      addresses: cluster.addresses,
      commandTimeout: 2_000,
    });
    const store = createJobStore(connection);
    const { job } = await store.submit(submissionOf(), signal);
    const lost = cluster.nodes[0];
    await lost?.process.stop('SIGKILL');
    await expect(store.count(signal)).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
      details: [{ kind: 'retry-info' }],
    });
    await lost?.process.start();
    const returned = () => store.count(signal).catch(() => undefined);
    await expect.poll(returned, { timeout: 20_000 }).toMatchObject({ finished: 0 });
    // The nodes keep no append-only file: what the lost one held has gone with it.
    expect([undefined, job.id]).toContain((await store.get(job.id, signal))?.id);
    await connection.stop();
  });
});

describe('a cluster that loses a node with a replica', () => {
  test('goes on with every job once the replica has taken its place', async () => {
    await using cluster = await RedisCluster.start({ replica: true });
    const connection = await connectToRedis(0, {
      mode: 'cluster',
      addresses: cluster.addresses,
      commandTimeout: 2_000,
    });
    const store = createJobStore(connection);
    const jobs = await submitToAllShards(store);
    await cluster.untilCopied();
    await cluster.nodes[0]?.process.stop('SIGKILL');
    const count = () => store.count(signal).catch(() => undefined);
    await expect.poll(count, { timeout: 40_000 }).toEqual({ queued: jobs.length, leased: 0, finished: 0 });
    const bot = { attempt: 1, botId: 'bot', botSessionName: 'session', leaseMilliseconds: 60_000 };
    const leased = await Promise.all(jobs.map(({ id }) => store.apply(id, { type: 'lease', ...bot }, signal)));
    expect(leased.filter((each) => each?.accepted === true)).toHaveLength(jobs.length);
    await connection.stop();
  });
});

describe('servers under Sentinels', () => {
  let group: SentinelGroup;
  let connection: RedisConnection;
  let store: RedisJobStore;

  beforeAll(async () => {
    group = await SentinelGroup.start();
    // A connection that waited for time limits of its own would be of no use for a minute.
    const addresses = group.ports.map((port) => ({ host: '127.0.0.1', port }));
    const sentinel = { mode: 'sentinel', addresses, sentinelName: group.name, commandTimeout: 60_000 } as const;
    connection = await connectToRedis(0, sentinel);
    store = createJobStore(connection);
  }, 60_000);

  afterAll(async () => {
    await connection?.stop();
    await group?.[Symbol.asyncDispose]();
  });

  /** A job that the replica has, too. */
  async function copiedJob(): Promise<Job> {
    const { job } = await store.submit(submissionOf(), signal);
    await group.untilCopied();
    return job;
  }

  test('are left for another primary as soon as there is one, though the old one only hangs', async () => {
    const job = await copiedJob();
    const { primary } = await group.roles();
    primary.process.signal('SIGSTOP');
    await group.untilReplaced(primary);
    const found = () => store.get(job.id, signal).catch(() => undefined);
    await expect.poll(found, { timeout: 20_000 }).toEqual(job);
    primary.process.signal('SIGCONT');
    await group.untilFollowing(primary);
  });

  test('go on with every job after a fail-over', async () => {
    const job = await copiedJob();
    const { primary } = await group.roles();
    await primary.process.stop('SIGKILL');
    await expect.poll(() => connection.ready, { interval: 5, timeout: 10_000 }).toBe(false);
    expect(await store.get(job.id, signal)).toEqual(job);
  });
});
