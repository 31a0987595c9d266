import { beforeEach, describe, expect, test } from 'vitest';
import { FaultyBlobStore } from '../../../../test/support/faulty-blob-store.ts';
import { type Digest, digestKey, digestOf } from '../../../domain/digest.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { describeBlobStore, inChunks, someBytes } from '../../../ports/blob-store.suite.ts';
import { MemoryBlobIndex } from '../../blob-index/memory/memory-blob-index.ts';
import { MemoryBlobStore } from '../memory/memory-blob-store.ts';
import { IndexedBlobStore } from './indexed-blob-store.ts';
import { IndexedMaintenance } from './indexed-maintenance.ts';

const signal = new AbortController().signal;
const MEBIBYTE = 1024 * 1024;
const MINUTE = 60_000;

/** What is in the store behind the indexes, counted and made to fail. */
class CountingStore extends FaultyBlobStore {
  readonly deleted: string[] = [];
  deletesFail = false;

  override async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    if (this.deletesFail) throw new Error('the store cannot remove anything now');
    await super.delete(digest, signal);
    this.deleted.push(digestKey(digest));
  }
}

interface Options {
  readonly bytes?: number;
  readonly blobs?: number;
  readonly minimumAge?: number;
}

class World {
  readonly clock = new FakeClock();
  readonly memory = new MemoryBlobStore(64 * MEBIBYTE);
  readonly inner = new CountingStore(this.memory);
  readonly index = new MemoryBlobIndex({ clock: this.clock, lease: MINUTE, resolution: 1_000, seed: 3 });
  readonly #options: Options;

  constructor(options: Options = {}) {
    this.#options = options;
  }

  /** A replica on the same store and index as the others. */
  replica(): IndexedBlobStore {
    const { bytes = MEBIBYTE, blobs = Number.POSITIVE_INFINITY, minimumAge = 0 } = this.#options;
    return new IndexedBlobStore(
      this.inner,
      this.index,
      { maximum: { bytes, blobs }, highWatermark: 0.9, lowWatermark: 0.5, minimumAgeMilliseconds: minimumAge },
      { clock: this.clock, logger: silentLogger },
    );
  }

  maintenance(store: IndexedBlobStore): IndexedMaintenance {
    const { clock, index, inner, memory } = this;
    const whenReady = () => Promise.resolve();
    return new IndexedMaintenance(store, { clock, index, store: inner, listing: memory, whenReady });
  }

  /** Writes blobs of a size, two seconds apart. */
  async fill(store: IndexedBlobStore, count: number, size: number, seed = 0): Promise<Digest[]> {
    const digests: Digest[] = [];
    for (let i = 0; i < count; i++) {
      const data = someBytes(size, seed + i + 1);
      digests.push(digestOf(data));
      await store.write(digestOf(data), i % 2 === 0 ? data : inChunks(data, 5_000), signal);
      await this.clock.advance(2_000);
    }
    return digests;
  }
}

describeBlobStore('IndexedBlobStore', async () => {
  const world = new World({ bytes: 64 * MEBIBYTE });
  const store = world.replica();
  return { store, dispose: () => store.close() };
});

describe('a store with an index', () => {
  let world: World;
  let store: IndexedBlobStore;

  const begin = (options: Options = {}) => {
    world = new World(options);
    store = world.replica();
  };
  beforeEach(() => begin());

  const stored = async (digests: readonly Digest[]) => {
    const missing = new Set((await world.index.findMissing(digests, signal)).map(digestKey));
    return digests.filter((digest) => !missing.has(digestKey(digest)));
  };

  test('answers findMissing without the store', async () => {
    const digests = await world.fill(store, 3, 1_000);
    const asked = world.inner.findMissingCalls;
    const other = digestOf(someBytes(9, 99));
    expect(await store.findMissing([...digests, other], signal)).toEqual([other]);
    expect(world.inner.findMissingCalls).toBe(asked);
  });

  test('never holds more than it may, and between the watermarks evicts what was used least recently', async () => {
    const digests = await world.fill(store, 8, 100_000);
    await store.findMissing(digests.slice(0, 1), signal);
    for (let i = 0; i < 30; i++) {
      await world.fill(store, 1, 100_000, 100 + i);
      expect(world.memory.storedBytes).toBeLessThanOrEqual(MEBIBYTE * 0.9 + 100_000);
    }
    begin();
    const early = await world.fill(store, 8, 100_000);
    await store.readWhole(early[0] as Digest, signal);
    await world.clock.advance(2_000);
    await world.fill(store, 2, 100_000, 50);
    expect(await stored(early)).toEqual([early[0], ...early.slice(6)]);
  });

  test('evicts by count, too', async () => {
    begin({ blobs: 20 });
    await world.fill(store, 60, 10);
    const { blobs } = await world.index.totals(signal);
    expect(blobs).toBeGreaterThanOrEqual(10);
    expect(blobs).toBeLessThanOrEqual(19);
    expect(world.inner.deleted).toHaveLength(60 - blobs);
  });

  test('refuses uploads when nothing may be evicted, and reads go on', async () => {
    begin({ minimumAge: 60 * MINUTE });
    const digests = await world.fill(store, 10, 100_000);
    const data = someBytes(100_000, 70);
    const refused = { code: StatusCode.RESOURCE_EXHAUSTED };
    await expect(store.write(digestOf(data), data, signal)).rejects.toMatchObject(refused);
    await expect(store.openWriter(digestOf(data), signal)).rejects.toMatchObject(refused);
    for (const digest of digests) expect(await store.readWhole(digest, signal)).toHaveLength(100_000);
    await store.write(digests[0] as Digest, someBytes(100_000, 1), signal);
    await world.clock.advance(62 * MINUTE);
    await store.write(digestOf(data), data, signal);
  });

  test('refuses at once what is larger than all that it may hold', async () => {
    const digest = { ...digestOf(someBytes(1)), sizeBytes: 2 * MEBIBYTE };
    await expect(store.openWriter(digest, signal)).rejects.toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED });
  });

  test('a failed upload gives its room back', async () => {
    world.inner.down = true;
    await expect(store.write(digestOf(someBytes(1_000)), someBytes(1_000), signal)).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
    });
    world.inner.down = false;
    const writer = await store.openWriter(digestOf(someBytes(1_000)), signal);
    await writer.append(someBytes(500));
    await writer.abandon();
    expect(await world.index.totals(signal)).toMatchObject({ blobs: 0, bytes: 0 });
  });

  test('what one replica has pinned no other evicts, until it lets go or dies', async () => {
    const other = world.replica();
    const digests = await world.fill(store, 5, 100_000);
    const pinned = digests.slice(0, 2);
    store.pin('job', pinned);
    await world.clock.advance(60 * MINUTE);
    await world.fill(other, 40, 100_000, 100);
    expect(await stored(pinned)).toEqual(pinned);
    store.unpin('job');
    await world.clock.advance(10 * MINUTE);
    await world.fill(other, 20, 100_000, 300);
    expect(await stored(pinned)).toEqual([]);
  });

  test('what is pinned before it is stored stays, too', async () => {
    const data = someBytes(100_000, 500);
    store.pin('job', [digestOf(data)]);
    await store.write(digestOf(data), data, signal);
    await world.clock.advance(MINUTE);
    await world.fill(world.replica(), 40, 100_000);
    expect(await stored([digestOf(data)])).toHaveLength(1);
  });

  test('what is being read is not evicted', async () => {
    const [digest] = await world.fill(store, 1, 100_000);
    const reader = store.read(digest as Digest, { offset: 0 }, signal)[Symbol.asyncIterator]();
    await reader.next();
    await world.fill(store, 30, 100_000, 100);
    expect(await stored([digest as Digest])).toHaveLength(1);
    await reader.return?.();
  });

  test('replicas at once evict each blob once, and no more than is too much', async () => {
    const replicas = [store, world.replica(), world.replica()];
    for (let round = 0; round < 20; round++) {
      await Promise.all(replicas.map((each, i) => world.fill(each, 3, 30_000, 1_000 * i + 10 * round)));
    }
    await world.clock.advance(10_000);
    expect(new Set(world.inner.deleted).size).toBe(world.inner.deleted.length);
    expect(world.memory.storedBytes).toBeLessThanOrEqual(MEBIBYTE * 0.9);
    expect(world.memory.storedBytes).toBeGreaterThanOrEqual(MEBIBYTE * 0.5 - 3 * 30_000);
    expect((await world.index.totals(signal)).bytes).toBe(world.memory.storedBytes);
  });

  test('a blob that the store has lost is missing once a read has found out, and can come again', async () => {
    const [digest] = (await world.fill(store, 1, 1_000)) as [Digest];
    await world.memory.delete(digest, signal);
    expect(await store.findMissing([digest], signal)).toEqual([]);
    await expect(store.readWhole(digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
    await store.write(digest, someBytes(1_000, 1), signal);
    expect(await store.readWhole(digest, signal)).toHaveLength(1_000);
    expect((await world.index.totals(signal)).blobs).toBe(1);
  });

  test('a blob that only the store knows gets into the index when it is read', async () => {
    const data = someBytes(1_000, 8);
    await world.memory.write(digestOf(data), data, signal);
    await store.readWhole(digestOf(data), signal);
    await world.clock.advance(1_000);
    expect(await store.findMissing([digestOf(data)], signal)).toEqual([]);
  });

  test('what cannot be removed stays known, and goes later', async () => {
    const digests = await world.fill(store, 8, 100_000);
    world.inner.deletesFail = true;
    await world.fill(store, 2, 100_000, 50);
    expect(await stored(digests)).toHaveLength(8);
    world.inner.deletesFail = false;
    await world.clock.advance(10_000);
    expect(world.memory.storedBytes).toBeLessThanOrEqual(MEBIBYTE * 0.9);
  });

  test('what a dead replica has left half written or half evicted is removed once its lease is over', async () => {
    const [claimed] = (await world.fill(store, 1, 1_000)) as [Digest];
    const half = someBytes(2_000, 60);
    await world.index.claim([claimed], 0, signal);
    await world.index.reserve(digestOf(half), signal);
    await world.memory.write(digestOf(half), half, signal);
    await world.clock.advance(2 * MINUTE);
    expect(world.memory.storedBytes).toBe(0);
    expect(await world.index.totals(signal)).toMatchObject({ blobs: 0, bytes: 0, evictingBlobs: 0 });
  });

  test('an upload that paused for longer than its lease is stored all the same', async () => {
    const data = someBytes(1_000, 61);
    const writer = await store.openWriter(digestOf(data), signal);
    await writer.append(data.slice(0, 500));
    await world.clock.advance(10 * MINUTE);
    expect((await world.index.totals(signal)).blobs).toBe(0);
    await writer.append(data.slice(500));
    await writer.commit();
    expect(await store.readWhole(digestOf(data), signal)).toHaveLength(1_000);
    expect(await world.index.totals(signal)).toMatchObject({ blobs: 1, bytes: 1_000 });
  });

  test('an upload of what is being evicted waits until it is gone', async () => {
    const [digest] = (await world.fill(store, 1, 1_000)) as [Digest];
    await world.index.claim([digest], 0, signal);
    const writing = store.write(digest, someBytes(1_000, 1), signal);
    await world.clock.advance(1_000);
    expect(await stored([digest])).toEqual([]);
    await world.memory.delete(digest, signal);
    await world.index.settle([digest], [], signal);
    await world.clock.advance(1_000);
    await writing;
    expect(await store.readWhole(digest, signal)).toHaveLength(1_000);
  });

  test('leaves no timer behind when it is closed', async () => {
    await world.fill(store, 2, 1_000);
    store.pin('job', [digestOf(someBytes(1))]);
    await store.readWhole(digestOf(someBytes(1_000, 1)), signal);
    await store.close();
    expect(world.clock.pendingTimers).toBe(0);
  });
});

describe('looking after a store with an index', () => {
  test('a dry run tells what cleaning would evict, and evicts nothing', async () => {
    const world = new World();
    const store = world.replica();
    const began = world.clock.now();
    await world.fill(store, 8, 100_000);
    const maintenance = world.maintenance(store);
    const planned = await maintenance.clean(undefined, true, signal);
    const uses = { oldestUse: began, newestUse: began + 4_000 };
    expect(planned).toEqual({ entries: 3, bytes: 300_000, ...uses, unfinishedUploads: 0 });
    expect(world.inner.deleted).toEqual([]);
    expect(await maintenance.clean(undefined, false, signal)).toEqual(planned);
    expect(world.inner.deleted).toHaveLength(3);
    expect(await maintenance.clean(200_000, false, signal)).toMatchObject({ entries: 3 });
    expect(await maintenance.usage(signal)).toMatchObject({ entries: 2, bytes: 200_000, maximumBytes: MEBIBYTE });
  });

  test('a check names what the index or the store lacks, and a rebuild mends it', async () => {
    const world = new World();
    const store = world.replica();
    const maintenance = world.maintenance(store);
    const [lost] = (await world.fill(store, 3, 1_000)) as [Digest];
    const unknown = someBytes(1_000, 77);
    expect(await collect(maintenance.check(signal))).toEqual([]);
    await world.memory.delete(lost, signal);
    await world.memory.write(digestOf(unknown), unknown, signal);
    expect(await collect(maintenance.check(signal))).toEqual([
      { what: 'lost', entry: digestKey(lost) },
      { what: 'unknown', entry: digestKey(digestOf(unknown)) },
    ]);
    const report = await maintenance.rebuild(signal);
    expect(report).toEqual({ entries: 3, bytes: 3_000, added: 1, removed: 1, listed: true });
    expect(await collect(maintenance.check(signal))).toEqual([]);
  });
});

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}
