import { RedisAssetStore, type RedisAssetStoreOptions } from '../../src/adapters/asset/redis/redis-asset-store.ts';
import { LOG_STREAM_SHARDS } from '../../src/adapters/log-stream/log-streams-configuration.ts';
import { RedisBotSessionStore } from '../../src/adapters/state/redis/redis-bot-session-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { RedisJobStore, type RedisJobStoreOptions } from '../../src/adapters/state/redis/redis-job-store.ts';
import { logStreamShard, RedisLogStreamStore } from '../../src/adapters/state/redis/redis-log-stream-store.ts';
import { RedisWorkQueueRegistry } from '../../src/adapters/state/redis/redis-work-queue-registry.ts';
import { SHARDS } from '../../src/domain/shard.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { AssetStoreSubject } from '../../src/ports/asset-store.suite.ts';
import type { BotSessionStoreFixture } from '../../src/ports/bot-session-store.suite.ts';
import type { JobStoreFixture } from '../../src/ports/job-store.suite.ts';
import type { LogStreamStoreFixture } from '../../src/ports/log-stream-store.suite.ts';
import type { WorkQueueRegistryFixture } from '../../src/ports/work-queue-registry.suite.ts';

const FINISHED_PER_SHARD = 20;
const OPERATIONS_PER_JOB = 20;
const IDLE_TIMEOUT_MS = 60_000;
const MAX_QUEUES = 4;
const LOG_RETENTION_MS = 60_000;
const LOG_LIMITS = { maximumStreamBytes: 1_000, maximumTotalBytes: 2_500, maximumStreams: 5 };
let fixtures = 0;

function newPrefix(): string {
  fixtures += 1;
  return `fixture-${fixtures}:`;
}

/** A job store with room for whatever a test does, unless it says otherwise. */
export function createJobStore(
  connection: RedisConnection,
  changes: Partial<RedisJobStoreOptions> = {},
): RedisJobStore {
  return new RedisJobStore({
    connection,
    keyPrefix: newPrefix(),
    maxUnfinished: SHARDS.length * 1_000,
    maxFinished: SHARDS.length * 1_000,
    maxFinishedBytes: 2 ** 30,
    ...changes,
  });
}

export async function jobStoreFixture(connection: RedisConnection): Promise<JobStoreFixture> {
  const clock = new FakeClock();
  return {
    store: createJobStore(connection, {
      maxFinished: SHARDS.length * FINISHED_PER_SHARD,
      maxOperationsPerJob: OPERATIONS_PER_JOB,
      now: () => clock.now(),
    }),
    advance: (milliseconds) => clock.advance(milliseconds),
    maxFinished: FINISHED_PER_SHARD,
    maxOperationsPerJob: OPERATIONS_PER_JOB,
    [Symbol.asyncDispose]: async () => {},
  };
}

export async function botSessionStoreFixture(connection: RedisConnection): Promise<BotSessionStoreFixture> {
  const clock = new FakeClock();
  return {
    store: new RedisBotSessionStore({
      connection,
      keyPrefix: newPrefix(),
      maxSessions: 100,
      clock,
      now: () => clock.now(),
    }),
    advance: (milliseconds) => clock.advance(milliseconds),
    [Symbol.asyncDispose]: async () => {},
  };
}

export async function workQueueRegistryFixture(connection: RedisConnection): Promise<WorkQueueRegistryFixture> {
  const clock = new FakeClock();
  return {
    registry: new RedisWorkQueueRegistry({
      connection,
      keyPrefix: newPrefix(),
      maxQueues: MAX_QUEUES,
      idleTimeout: IDLE_TIMEOUT_MS,
      clock,
      now: () => clock.now(),
    }),
    maxQueues: MAX_QUEUES,
    passIdleTime: () => clock.advance(IDLE_TIMEOUT_MS),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** An asset store with room for whatever a test does, unless it says otherwise. */
export function createAssetStore(
  connection: RedisConnection,
  changes: Partial<RedisAssetStoreOptions> = {},
): RedisAssetStore {
  return new RedisAssetStore({
    connection,
    keyPrefix: newPrefix(),
    maximumAssets: SHARDS.length * 1_000,
    retention: 86_400_000,
    ...changes,
  });
}

export async function assetStoreSubject(connection: RedisConnection): Promise<AssetStoreSubject> {
  const clock = new FakeClock();
  return {
    store: createAssetStore(connection, { now: () => clock.now() }),
    now: () => clock.now(),
    advance: (milliseconds) => clock.advance(milliseconds),
    dispose: async () => {},
  };
}

/** Two replicas' stores of the same streams, whose time is the test's and whose timers are real. */
export async function logStreamStoreFixture(connection: RedisConnection): Promise<LogStreamStoreFixture> {
  const clock = new FakeClock();
  const keyPrefix = newPrefix();
  const { maximumStreamBytes, maximumTotalBytes, maximumStreams } = LOG_LIMITS;
  const limits = {
    maximumStreamBytes,
    maximumTotalBytes: maximumTotalBytes * LOG_STREAM_SHARDS,
    maximumStreams: maximumStreams * LOG_STREAM_SHARDS,
    retentionMilliseconds: LOG_RETENTION_MS,
  };
  const replica = () =>
    new RedisLogStreamStore({
      connection,
      keyPrefix,
      limits,
      clock: new SystemClock(),
      logger: silentLogger,
      now: () => clock.now(),
    });
  const [store, other] = [replica(), replica()];
  return {
    store,
    other,
    ...LOG_LIMITS,
    keys(count) {
      const keys: string[] = [];
      for (let i = 0; keys.length < count; i++) {
        if (logStreamShard(`main/stream-${i}`) === 7) keys.push(`main/stream-${i}`);
      }
      return keys;
    },
    passRetention: (part = 1) => clock.advance(part * LOG_RETENTION_MS),
    [Symbol.asyncDispose]: async () => {
      await store.stop();
      await other.stop();
    },
  };
}
