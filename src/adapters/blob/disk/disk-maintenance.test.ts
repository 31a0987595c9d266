import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestKey, digestOf } from '../../../domain/digest.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { someBytes } from '../../../ports/blob-store.suite.ts';
import type { IndexDifference } from '../../../ports/store-maintenance.ts';
import { DiskBlobStore } from './disk-blob-store.ts';
import { diskBlobStoreSchema } from './disk-configuration.ts';

const signal = new AbortController().signal;
const MEBIBYTE = 1024 * 1024;
let directory: string;
let clock: FakeClock;
let store: DiskBlobStore;

const open = () =>
  DiskBlobStore.open(
    diskBlobStoreSchema.parse({ kind: 'disk', directory, maximumSizeBytes: 8 * MEBIBYTE, minimumAgeSeconds: 0 }),
    { clock, logger: silentLogger, random: Math.random },
    signal,
  );

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'warren-maintenance-'));
  clock = new FakeClock();
  store = await open();
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

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

async function differences(): Promise<IndexDifference[]> {
  const all: IndexDifference[] = [];
  for await (const each of store.maintenance.check(signal)) all.push(each);
  return all.sort((a, b) => (a.entry < b.entry ? -1 : 1));
}

function flip(bytes: Buffer, at: number): void {
  bytes[at] = (bytes[at] as number) ^ 1;
}

const files = () =>
  readdirSync(join(directory, 'files')).flatMap((folder) =>
    readdirSync(join(directory, 'files', folder)).map((name) => join(directory, 'files', folder, name)),
  );
const fileOf = (digest: Digest) => files().find((each) => each.includes(digest.hash)) as string;

describe('cleaning on demand', () => {
  test('a dry run tells what would go, and nothing goes', async () => {
    const began = clock.now();
    const digests = await fill(20, 200_000);
    const planned = await store.maintenance.clean(2_000_000, true, signal);
    expect(planned.entries).toBe(11);
    expect(planned).toMatchObject({ oldestUse: began, newestUse: began + 10_000 });
    expect(store.count).toBe(20);
    expect(await store.maintenance.clean(2_000_000, false, signal)).toEqual(planned);
    expect(store.count).toBe(9);
    expect(store.usedBytes).toBeLessThanOrEqual(2_000_000);
    expect(await store.findMissing(digests, signal)).toEqual(digests.slice(0, 11));
  });

  test('what is pinned is neither told of nor taken', async () => {
    const digests = await fill(10, 200_000);
    store.pin('job', digests.slice(0, 3));
    const planned = await store.maintenance.clean(1, true, signal);
    expect(planned.entries).toBe(7);
    expect(await store.maintenance.clean(1, false, signal)).toEqual(planned);
    expect(await store.findMissing(digests, signal)).toEqual(digests.slice(3));
  });

  test('small blobs go, and their room comes back', async () => {
    await fill(200, 10_000);
    const { entries } = await store.maintenance.clean(500_000, false, signal);
    expect(entries).toBeGreaterThan(140);
    expect(store.count).toBe(200 - entries);
    expect(store.usedBytes).toBeLessThanOrEqual(500_000);
    expect(await store.maintenance.usage(signal)).toMatchObject({
      entries: store.count,
      bytes: store.usedBytes,
      maximumBytes: 8 * MEBIBYTE,
    });
  });
});

describe('holding index and folder against each other', () => {
  test('finds nothing where nothing is wrong, and is no use of what it reads', async () => {
    await fill(50, 5_000);
    await fill(3, 300_000, 100);
    const before = await store.maintenance.clean(1, true, signal);
    await clock.advance(60_000);
    expect(await differences()).toEqual([]);
    expect(await store.maintenance.clean(1, true, signal)).toEqual(before);
  });

  test('names what is lost, damaged or unknown, and changes nothing; a rebuild mends it', async () => {
    const small = await fill(50, 5_000);
    const large = (await fill(4, 300_000, 100)) as [Digest, Digest, Digest, Digest];
    const segment = join(directory, 'segments', '0000000001.segment');
    const bytes = readFileSync(segment);
    flip(bytes, bytes.indexOf(someBytes(5_000, 7)) + 100);
    writeFileSync(segment, bytes);
    rmSync(fileOf(large[0]));
    const spoilt = readFileSync(fileOf(large[1]));
    flip(spoilt, 150_000);
    writeFileSync(fileOf(large[1]), spoilt);
    // What the index has forgotten, as after a checkpoint from elsewhere.
    const path = fileOf(large[2]);
    const aside = join(directory, 'aside');
    renameSync(path, aside);
    await store.delete(large[2], signal);
    mkdirSync(dirname(path), { recursive: true });
    renameSync(aside, path);

    const found = [
      { what: 'damaged', entry: digestKey(small[6] as Digest) },
      { what: 'lost', entry: digestKey(large[0]) },
      { what: 'damaged', entry: digestKey(large[1]) },
      { what: 'unknown', entry: digestKey(large[2]) },
    ].sort((a, b) => (a.entry < b.entry ? -1 : 1));
    expect(await differences()).toEqual(found);
    expect(await differences()).toEqual(found);

    const report = await store.maintenance.rebuild(signal);
    expect(report).toEqual({ entries: 51, bytes: store.usedBytes, added: 1, removed: 3, listed: true });
    expect(await differences()).toEqual([]);
    const missing = [small[6], large[0], large[1]];
    expect(await store.findMissing([...small, ...large], signal)).toEqual(missing);
    expect(await store.readWhole(large[2], signal)).toHaveLength(300_000);
    await store.close();
    store = await open();
    expect(await store.findMissing([...small, ...large], signal)).toEqual(missing);
  });

  test('finds out that a whole segment is gone', async () => {
    const digests = await fill(5, 5_000);
    expect(await differences()).toEqual([]);
    rmSync(join(directory, 'segments', '0000000001.segment'));
    expect((await differences()).map(({ what }) => what)).toEqual(digests.map(() => 'lost'));
  });

  test('goes on while blobs come, go and move', async () => {
    const checking = (async () => {
      let found = 0;
      for (let i = 0; i < 5; i++) found += (await differences()).length;
      return found;
    })();
    for (let round = 0; round < 10; round++) await fill(60, 20_000, round * 100);
    expect(await checking).toBe(0);
  });
});
