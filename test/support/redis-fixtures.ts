import { RedisAssetStore, type RedisAssetStoreOptions } from '../../src/adapters/asset/redis/redis-asset-store.ts';
import { RedisBotSessionStore } from '../../src/adapters/state/redis/redis-bot-session-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { RedisJobStore, type RedisJobStoreOptions } from '../../src/adapters/state/redis/redis-job-store.ts';
import { RedisWorkQueueRegistry } from '../../src/adapters/state/redis/redis-work-queue-registry.ts';
import { SHARDS } from '../../src/domain/shard.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import type { AssetStoreSubject } from '../../src/ports/asset-store.suite.ts';
import type { BotSessionStoreFixture } from '../../src/ports/bot-session-store.suite.ts';
import type { JobStoreFixture } from '../../src/ports/job-store.suite.ts';
import type { WorkQueueRegistryFixture } from '../../src/ports/work-queue-registry.suite.ts';

const FINISHED_PER_SHARD = 20;
const IDLE_TIMEOUT_MS = 60_000;
const MAX_QUEUES = 4;
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
      now: () => clock.now(),
    }),
    advance: (milliseconds) => clock.advance(milliseconds),
    maxFinished: FINISHED_PER_SHARD,
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
