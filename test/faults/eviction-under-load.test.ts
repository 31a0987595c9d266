import { setMaxListeners } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DiskBlobStore } from '../../src/adapters/blob/disk/disk-blob-store.ts';
import { diskBlobStoreSchema } from '../../src/adapters/blob/disk/disk-configuration.ts';
import { IndexedBlobStore } from '../../src/adapters/blob/indexed/indexed-blob-store.ts';
import { MemoryBlobStore } from '../../src/adapters/blob/memory/memory-blob-store.ts';
import { MemoryBlobIndex } from '../../src/adapters/blob-index/memory/memory-blob-index.ts';
import { RedisBlobIndex } from '../../src/adapters/blob-index/redis/redis-blob-index.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { type Digest, digestOf } from '../../src/domain/digest.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { BlobBackend } from '../../src/ports/blob-backend.ts';
import { inChunks, someBytes } from '../../src/ports/blob-store.suite.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { RedisServer } from '../support/redis-server.ts';

const signal = new AbortController().signal;
setMaxListeners(0, signal);
const MEBIBYTE = 1024 * 1024;
const LIMIT = 16 * MEBIBYTE;
const HIGH = 0.9;
const dependencies = { clock: new SystemClock(), logger: silentLogger, random: Math.random };

/** A store under load, as one or several replicas. */
interface Subject {
  readonly replicas: readonly BlobBackend[];
  /** Bytes that lie in the store now. */
  storedBytes(): number;
  /** What the store itself has in flight: the copies that compaction makes. */
  readonly ownBytes: number;
  close(): Promise<void>;
}

let redis: RedisServer;
let connection: RedisConnection;
let folder: string;
let subject: Subject | undefined;

beforeAll(async () => {
  redis = await RedisServer.start();
  connection = await connectToRedis(redis.port);
  folder = mkdtempSync(join(tmpdir(), 'warren-load-'));
});
afterEach(async () => {
  await subject?.close();
  subject = undefined;
});
afterAll(async () => {
  await connection.stop();
  await redis[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function openDisk(): Promise<Subject> {
  const limits = { maximumSizeBytes: LIMIT, highWatermark: HIGH, lowWatermark: 0.7, minimumAgeSeconds: 0 };
  const configuration = diskBlobStoreSchema.parse({ kind: 'disk', directory: join(folder, 'disk'), ...limits });
  const store = await DiskBlobStore.open(configuration, dependencies, signal);
  const ownBytes = (2 * LIMIT) / 64;
  return { replicas: [store], storedBytes: () => store.usedBytes, ownBytes, close: () => store.close() };
}

function openIndexed(replicas: number): Subject {
  const memory = new MemoryBlobStore(LIMIT * 4);
  const times = { lease: 60_000, resolution: 0 };
  const shared = new MemoryBlobIndex({ ...times, clock: dependencies.clock, seed: 1 });
  const stores = Array.from({ length: replicas }, () => {
    const index =
      replicas === 1 ? shared : new RedisBlobIndex({ ...times, connection, keyPrefix: 'load:', name: 'blobs' });
    const maximum = { bytes: LIMIT, blobs: Number.POSITIVE_INFINITY };
    const options = { maximum, highWatermark: HIGH, lowWatermark: 0.7, minimumAgeMilliseconds: 0 };
    return new IndexedBlobStore(memory, index, options, dependencies);
  });
  return {
    replicas: stores,
    storedBytes: () => memory.storedBytes,
    ownBytes: 0,
    close: async () => {
      for (const store of stores) await store.close();
    },
  };
}

describe.each([
  ['a disk', openDisk],
  ['an index in memory', async () => openIndexed(1)],
  ['an index in Redis that three replicas share', async () => openIndexed(3)],
])('a working set of twice the limit on %s', (_what, open) => {
  test('stays below the high watermark but for what is in flight, and loses nothing that is pinned', async () => {
    subject = await open();
    const { replicas, ownBytes, ...load } = subject;
    const sizeOf = (seed: number) => (seed % 8 === 0 ? 200_000 : 1_000 + (seed % 50) * 500);
    const count = 1_000;
    const pinned: Array<{ readonly seed: number; readonly digest: Digest }> = [];
    for (let seed = 1; seed <= 30; seed++) {
      const data = someBytes(sizeOf(seed), seed);
      await replicas[0]?.write(digestOf(data), data, signal);
      pinned.push({ seed, digest: digestOf(data) });
    }
    replicas[0]?.pin(
      'job',
      pinned.map(({ digest }) => digest),
    );
    // What one replica pins the others know a moment later.
    await new Promise((resolve) => setTimeout(resolve, 200));

    let inFlight = 0;
    let highest = 0;
    let written = 0;
    let found = 0;
    const refused: unknown[] = [];
    const work = async (worker: number) => {
      const store = replicas[worker % replicas.length] as BlobBackend;
      for (let i = worker; i < 2 * count; i += 24) {
        // Twice through the working set, and back to what was written a moment ago.
        const seed = 100 + ((i * 7) % count);
        const data = someBytes(sizeOf(seed), seed);
        const digest = digestOf(data);
        inFlight += data.byteLength;
        try {
          if ((await store.findMissing([digest], signal)).length > 0) {
            await store.write(digest, i % 2 === 0 ? data : inChunks(data, 40_000), signal);
            written += data.byteLength;
          }
          const read = await store.readWhole(digest, signal);
          expect(Buffer.from(read).equals(data)).toBe(true);
          found += 1;
        } catch (cause) {
          // With no minimum age a blob may go before it is read.
          if ((cause as { code?: number }).code !== StatusCode.NOT_FOUND) refused.push(cause);
        }
        highest = Math.max(highest, load.storedBytes() - inFlight);
        inFlight -= data.byteLength;
      }
    };
    await Promise.all(Array.from({ length: 24 }, (_, worker) => work(worker)));

    expect(refused).toEqual([]);
    expect(written).toBeGreaterThan(2 * LIMIT);
    expect(found).toBeGreaterThan(count);
    expect(highest).toBeLessThanOrEqual(LIMIT * HIGH + ownBytes);
    for (const { seed, digest } of pinned) {
      const read = await replicas.at(-1)?.readWhole(digest, signal);
      expect(Buffer.from(read ?? []).equals(someBytes(sizeOf(seed), seed)), `pinned blob ${seed}`).toBe(true);
    }
  });
});
