import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../domain/digest.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { someBytes } from '../../../ports/blob-store.suite.ts';
import { DiskBlobStore } from './disk-blob-store.ts';
import { type DiskBlobStoreConfiguration, diskBlobStoreSchema } from './disk-configuration.ts';

const signal = new AbortController().signal;
const MEBIBYTE = 1024 * 1024;
let directory: string;
let clock: FakeClock;
let store: DiskBlobStore;

const open = (configuration: Partial<DiskBlobStoreConfiguration> = {}) =>
  DiskBlobStore.open(
    diskBlobStoreSchema.parse({
      kind: 'disk',
      directory,
      maximumSizeBytes: 8 * MEBIBYTE,
      minimumAgeSeconds: 0,
      ...configuration,
    }),
    { clock, logger: silentLogger, random: Math.random },
    signal,
  );

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'warren-eviction-'));
  clock = new FakeClock();
  store = await open();
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

/** Bytes of segments and files, as the operating system sees them. */
function bytesOnDisk(folder = directory): number {
  let sum = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) sum += bytesOnDisk(path);
    else if (!entry.name.startsWith('checkpoint')) sum += statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}

async function fill(blobs: number, bytes: number, seed = 0): Promise<Digest[]> {
  const digests: Digest[] = [];
  for (let i = 0; i < blobs; i++) {
    const data = someBytes(bytes, seed + i + 1);
    digests.push(digestOf(data));
    await store.write(digestOf(data), data, signal);
    await clock.advance(1000);
  }
  return digests;
}

const stored = async (digests: readonly Digest[]) => {
  const missing = new Set(await store.findMissing(digests, signal));
  return digests.filter((each) => !missing.has(each));
};

describe('eviction from disk', () => {
  test.each([
    ['small', 20_000, 1200],
    ['large', 300_000, 80],
    ['middling', 100_000, 240],
  ])('with three times what fits of %s blobs the folder never outgrows its limit', async (_, bytes, blobs) => {
    const onDisk: number[] = [];
    for (let i = 0; i < blobs; i++) {
      const data = someBytes(bytes, i + 1);
      await store.write(digestOf(data), data, signal);
      await clock.advance(1000);
      expect(store.usedBytes).toBeLessThanOrEqual(8 * MEBIBYTE);
      if (i % 20 === 0) onDisk.push(bytesOnDisk());
    }
    expect(Math.max(...onDisk)).toBeLessThanOrEqual(8 * MEBIBYTE);
    expect(store.usedBytes).toBeGreaterThan(4 * MEBIBYTE);
  });

  test('with many writers at once the folder never outgrows its limit', async () => {
    for (let round = 0; round < 12; round++) {
      const writes = Array.from({ length: 60 }, (_, i) => {
        const data = someBytes(i % 3 === 0 ? 200_000 : 9000, round * 1000 + i + 1);
        return store.write(digestOf(data), data, signal);
      });
      await Promise.all(writes);
      expect(store.usedBytes).toBeLessThanOrEqual(8 * MEBIBYTE);
      expect(bytesOnDisk()).toBeLessThanOrEqual(8 * MEBIBYTE);
      await clock.advance(1000);
    }
  });

  test('what was used least recently goes first', async () => {
    const digests = await fill(24, 300_000);
    const early = digests.slice(0, 4);
    await store.findMissing(early.slice(0, 1), signal);
    await store.readWhole(early[1] as Digest, signal);
    for await (const _ of store.read(early[2] as Digest, { offset: 0, length: 1 }, signal)) break;
    await clock.advance(1000);
    await fill(12, 300_000, 500);
    expect(await stored(early)).toEqual(early.slice(0, 3));
  });

  test('last use outlasts a restart', async () => {
    const digests = await fill(24, 300_000);
    const early = digests.slice(0, 3);
    await store.findMissing(early, signal);
    await clock.advance(1000);
    await store.close();
    store = await open();
    await fill(12, 300_000, 500);
    expect(await stored(early)).toEqual(early);
  });

  test.each([
    ['small', 20_000, 360],
    ['large', 300_000, 24],
  ])('a pinned %s blob stays until its owner lets go', async (_, bytes, blobs) => {
    const digests = await fill(blobs, bytes);
    const pinned = digests.slice(0, 3);
    store.pin('job', pinned);
    await fill(blobs, bytes, 5000);
    expect(await stored(pinned)).toEqual(pinned);
    store.unpin('job');
    await clock.advance(1000);
    await fill(blobs * 2, bytes, 20_000);
    expect(await stored(pinned)).toEqual([]);
  });

  test('a blob that is being read is not evicted', async () => {
    const data = someBytes(3_000_000, 77);
    const digest = digestOf(data);
    await store.write(digest, data, signal);
    const reader = store.read(digest, { offset: 0 }, signal)[Symbol.asyncIterator]();
    const parts = [(await reader.next()).value as Uint8Array];
    await clock.advance(1000);
    await fill(30, 300_000);
    for (let next = await reader.next(); !next.done; next = await reader.next()) parts.push(next.value);
    expect(Buffer.concat(parts).equals(data)).toBe(true);
  });

  test('when nothing may be evicted uploads are refused and reads go on', async () => {
    await store.close();
    store = await open({ minimumAgeSeconds: 3600 });
    const digests: Digest[] = [];
    const refusals: unknown[] = [];
    for (let i = 0; i < 40; i++) {
      const data = someBytes(300_000, i + 1);
      await store.write(digestOf(data), data, signal).then(
        () => digests.push(digestOf(data)),
        (error: unknown) => refusals.push(error),
      );
    }
    expect(refusals[0]).toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED });
    expect(await stored(digests)).toEqual(digests);
    for (const digest of digests) expect(await store.readWhole(digest, signal)).toHaveLength(300_000);
    await clock.advance(3_600_000);
    const data = someBytes(300_000, 900);
    await store.write(digestOf(data), data, signal);
    expect(store.usedBytes).toBeLessThanOrEqual(8 * MEBIBYTE);
  });

  test('a blob larger than the store is refused at once', async () => {
    const digest = { ...digestOf(someBytes(1)), sizeBytes: 9 * MEBIBYTE };
    await expect(store.openWriter(digest, signal)).rejects.toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED });
  });

  test('abandoned uploads give their room back', async () => {
    const before = store.usedBytes;
    const data = someBytes(2_000_000, 5);
    for (let i = 0; i < 10; i++) {
      const writer = await store.openWriter(digestOf(data), signal);
      await writer.append(data.slice(0, 1_500_000));
      await writer.abandon();
    }
    expect(store.usedBytes).toBe(before);
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
  });
});

describe('eviction from disk by count', () => {
  test.each([
    ['small', 500],
    ['large', 200_000],
  ])('there are never more %s blobs than maximumCount, and the least recently used go', async (_, bytes) => {
    await store.close();
    store = await open({ maximumCount: 20, maximumSizeBytes: 64 * MEBIBYTE });
    const digests: Digest[] = [];
    for (let i = 0; i < 60; i++) {
      digests.push(...(await fill(1, bytes, i)));
      expect(store.count).toBeLessThanOrEqual(20);
    }
    const kept = await stored(digests);
    expect(kept.length).toBeGreaterThanOrEqual(16);
    expect(kept).toEqual(digests.slice(-kept.length));
  });

  test('when nothing may be evicted one blob more is refused, by name of the limit', async () => {
    await store.close();
    store = await open({ maximumCount: 5, minimumAgeSeconds: 3600 });
    const digests = await fill(5, 100);
    const data = someBytes(100, 90);
    await expect(store.write(digestOf(data), data, signal)).rejects.toMatchObject({
      code: StatusCode.RESOURCE_EXHAUSTED,
      message: expect.stringContaining('maximumCount'),
    });
    expect(await stored(digests)).toEqual(digests);
  });
});
