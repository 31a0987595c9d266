import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { FaultyBlobStore } from '../../../test/support/faulty-blob-store.ts';
import { type Digest, digestOf } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import { describeBlobStore, inChunks, someBytes } from '../../ports/blob-store.suite.ts';
import { describeUploadStore, UPLOAD_SUITE_OPTIONS } from '../../ports/upload-store.suite.ts';
import { ResumableUploads } from '../upload/resumable-uploads.ts';
import { MemoryBlobStore } from './memory/memory-blob-store.ts';
import { MirroredBlobStore } from './mirrored-blob-store.ts';
import { ShardedBlobStore } from './sharded-blob-store.ts';
import { SizeSplitBlobStore } from './size-split-blob-store.ts';
import { TieredBlobStore, type TieredOptions } from './tiered-blob-store.ts';

const signal = new AbortController().signal;
const memory = () => new MemoryBlobStore(64 * 1024 * 1024);
const shards = (names: readonly string[]) => names.map((name) => ({ name, weight: 1, store: memory() }));
const tiered = (fast: BlobBackend, slow: BlobBackend, options: Partial<TieredOptions> = {}) =>
  new TieredBlobStore(
    fast,
    slow,
    { mode: 'write-through', maximumFastBlobBytes: 4 * 1024 * 1024, maximumPending: 100, ...options },
    { clock: new FakeClock(), logger: silentLogger, random: () => 0 },
  );

const compositions: ReadonlyArray<readonly [string, () => { store: BlobBackend; close?: () => Promise<void> }]> = [
  ['SizeSplitBlobStore', () => ({ store: new SizeSplitBlobStore(memory(), memory(), 50_000) })],
  ['ShardedBlobStore', () => ({ store: new ShardedBlobStore(shards(['a', 'b', 'c'])) })],
  [
    'MirroredBlobStore',
    () => {
      const store = new MirroredBlobStore([memory(), memory()], 2, silentLogger);
      return { store, close: () => store.close() };
    },
  ],
  ['TieredBlobStore with write-through', () => ({ store: tiered(memory(), memory()) })],
  [
    'TieredBlobStore with a fast store that holds little',
    () => ({ store: tiered(new MemoryBlobStore(2000), memory()) }),
  ],
  [
    'TieredBlobStore with write-back',
    () => {
      const store = tiered(memory(), memory(), { mode: 'write-back' });
      return { store, close: () => store.close(signal) };
    },
  ],
];

for (const [name, create] of compositions) {
  describeBlobStore(name, async () => {
    const { store, close } = create();
    return { store, dispose: async () => close?.() };
  });
  describeUploadStore(`ResumableUploads over ${name}`, async () => {
    const { store: blobs, close } = create();
    const clock = new FakeClock();
    const uploads = new ResumableUploads(blobs, clock, UPLOAD_SUITE_OPTIONS);
    const dispose = async () => {
      await uploads.close();
      await close?.();
    };
    return { uploads, blobs, clock, dispose };
  });
}

const data = someBytes(2_500_000, 1);
const digest = digestOf(data);
const isStored = async (store: BlobBackend, which: Digest = digest) =>
  (await store.findMissing([which], signal)).length === 0;

async function readAll(store: BlobBackend): Promise<boolean> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read(digest, { offset: 0 }, signal)) chunks.push(chunk);
  return Buffer.concat(chunks).equals(data);
}

describe('ShardedBlobStore', () => {
  const hash = fc.stringMatching(/^[0-9a-f]{64}$/);

  test('a shard that is added moves blobs to itself and nowhere else', () => {
    const before = new ShardedBlobStore(shards(['a', 'b', 'c']));
    const after = new ShardedBlobStore(shards(['a', 'b', 'new', 'c']));
    fc.assert(
      fc.property(hash, (value) => {
        const some = { ...digest, hash: value };
        const moved = after.shardOf(some);
        expect([before.shardOf(some), 'new']).toContain(moved);
      }),
      { numRuns: 1000 },
    );
  });

  test('each shard has its share, by weight', () => {
    const store = new ShardedBlobStore(
      shards(['a', 'b', 'c']).map((shard) => ({ ...shard, weight: shard.name === 'c' ? 2 : 1 })),
    );
    const counts = new Map<string, number>();
    for (let i = 0; i < 8000; i++) {
      const name = store.shardOf(digestOf(Buffer.from(`${i}`)));
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const [name, share] of [
      ['a', 2000],
      ['b', 2000],
      ['c', 4000],
    ] as const) {
      expect(Math.abs((counts.get(name) ?? 0) - share)).toBeLessThan(300);
    }
  });

  test('shards of one name are refused', () => {
    expect(() => new ShardedBlobStore(shards(['a', 'a']))).toThrow('different names');
  });
});

describe('MirroredBlobStore', () => {
  let one: FaultyBlobStore;
  let two: FaultyBlobStore;
  beforeEach(() => {
    one = new FaultyBlobStore(memory());
    two = new FaultyBlobStore(memory());
  });

  test('with one copy enough, everything goes on while a mirror is down', async () => {
    const store = new MirroredBlobStore([one, two], 1, silentLogger);
    one.down = true;
    await store.write(digest, inChunks(data, 100_000), signal);
    for (let i = 0; i < 4; i++) expect(await readAll(store)).toBe(true);
    expect(await isStored(store)).toBe(true);
    one.down = false;
    two.down = true;
    await expect(readAll(store)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
  });

  test('with two copies wanted, a write fails while a mirror is down and leaves nothing', async () => {
    const store = new MirroredBlobStore([one, two], 2, silentLogger);
    two.down = true;
    await expect(store.write(digest, data, signal)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    two.down = false;
    expect([await isStored(one), await isStored(two)]).toEqual([false, false]);
  });

  test('a mirror that lacks a blob gets it when it is asked for', async () => {
    const store = new MirroredBlobStore([one, two], 2, silentLogger);
    await two.write(digest, data, signal);
    expect(await store.findMissing([digest], signal)).toEqual([]);
    expect(await isStored(one)).toBe(true);
    await one.delete(digest, signal);
    expect(await readAll(store)).toBe(true);
    expect(await readAll(store)).toBe(true);
    await store.close();
    expect(await isStored(one)).toBe(true);
  });

  test('a read that breaks off goes on at the other mirror', async () => {
    const store = new MirroredBlobStore([one, two], 2, silentLogger);
    await store.write(digest, data, signal);
    one.readBreaksAfter = 1_200_000;
    for (let i = 0; i < 3; i++) expect(await readAll(store)).toBe(true);
    two.readBreaksAfter = 1000;
    await expect(readAll(store)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
  });
});

describe('TieredBlobStore', () => {
  let fast: FaultyBlobStore;
  let slow: FaultyBlobStore;
  beforeEach(() => {
    fast = new FaultyBlobStore(memory());
    slow = new FaultyBlobStore(memory());
  });

  test('what is read from the slow store is read from the fast one the next time', async () => {
    const store = tiered(fast, slow);
    await slow.write(digest, data, signal);
    expect(await readAll(store)).toBe(true);
    slow.down = true;
    expect(await readAll(store)).toBe(true);
    expect(slow.reads).toBe(1);
    fast.down = true;
    await expect(readAll(store)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
  });

  test('a reader that stops early leaves nothing half in the fast store', async () => {
    const store = tiered(fast, slow);
    await slow.write(digest, data, signal);
    for await (const _ of store.read(digest, { offset: 0 }, signal)) break;
    expect(await isStored(fast)).toBe(false);
  });

  test('a fast store that is down costs speed and nothing else', async () => {
    const store = tiered(fast, slow);
    fast.down = true;
    await store.write(digest, inChunks(data, 100_000), signal);
    expect(await readAll(store)).toBe(true);
    expect(await store.readWhole(digest, signal)).toHaveLength(data.byteLength);
  });

  test('with write-through nothing is acknowledged that the slow store has not got', async () => {
    const store = tiered(fast, slow);
    slow.down = true;
    await expect(store.write(digest, data, signal)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    slow.down = false;
    expect(await isStored(fast)).toBe(false);
    await fast.write(digest, data, signal);
    expect(await isStored(store)).toBe(false);
  });

  test('with write-back the slow store gets everything by the end', async () => {
    const store = tiered(fast, slow, { mode: 'write-back', maximumPending: 3 });
    const blobs = Array.from({ length: 20 }, (_, i) => someBytes(1000 + i, 50 + i));
    await Promise.all(blobs.map((each) => store.write(digestOf(each), each, signal)));
    expect(
      await store.findMissing(
        blobs.map((each) => digestOf(each)),
        signal,
      ),
    ).toEqual([]);
    await store.close(signal);
    expect(store.pendingBlobs).toBe(0);
    expect(
      await slow.findMissing(
        blobs.map((each) => digestOf(each)),
        signal,
      ),
    ).toEqual([]);
  });

  test('blobs above the limit of the fast store pass it by', async () => {
    const store = tiered(fast, slow, { maximumFastBlobBytes: 1000 });
    await store.write(digest, data, signal);
    expect(await readAll(store)).toBe(true);
    expect(await isStored(fast)).toBe(false);
  });
});
