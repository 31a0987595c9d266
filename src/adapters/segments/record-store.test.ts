import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StatusCode } from '../../domain/status-code.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { textRecordKey } from './record-key.ts';
import { RecordStore } from './record-store.ts';
import type { RecordStoreOptions } from './record-store-options.ts';

const signal = new AbortController().signal;
let root: string;
let count = 0;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'warren-records-'));
});
afterEach(() => rmSync(root, { recursive: true }));

function newDirectory(): string {
  count += 1;
  return join(root, `${count}`);
}

function open(directory: string, options: Partial<RecordStoreOptions> = {}, clock = new FakeClock()) {
  return RecordStore.open(
    {
      directory,
      maximumSizeBytes: 64 * 1024 * 1024,
      highWatermark: 0.95,
      lowWatermark: 0.85,
      minimumAgeMilliseconds: 0,
      segmentBytes: 4096,
      sync: false,
      openFiles: 4,
      ...options,
    },
    { clock, logger: silentLogger, random: Math.random },
    signal,
  );
}

const key = (n: number) => textRecordKey(`key ${n}`);
const value = (n: number, length: number) => Buffer.alloc(length, `${n} `);

async function contents(store: RecordStore, keys: number): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (let n = 0; n < keys; n++) {
    const data = await store.get(key(n));
    if (data !== undefined) found.set(n, data.toString('latin1'));
  }
  return found;
}

const segmentFiles = (directory: string) => readdirSync(directory).filter((name) => name.endsWith('.segment'));

describe('RecordStore', () => {
  test('after any history, restarts and crashes included, holds what was put last', async () => {
    const KEYS = 12;
    const n = fc.integer({ min: 0, max: KEYS - 1 });
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), n, length: fc.nat({ max: 1500 }) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), n }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('clean' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('checkpoint' as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        let directory = newDirectory();
        let clock = new FakeClock();
        let store = await open(directory, {}, clock);
        const model = new Map<number, string>();
        for (const [i, each] of steps.entries()) {
          if (each.kind === 'put') {
            const data = value(i, each.length);
            await store.put(key(each.n), data);
            model.set(each.n, data.toString('latin1'));
          } else if (each.kind === 'remove') {
            await store.remove(key(each.n));
            model.delete(each.n);
          } else if (each.kind === 'checkpoint') {
            await clock.advance(10 * 60 * 1000);
          } else if (each.kind === 'clean') {
            // Compacts what it can and evicts nothing: room for everything that is live is left.
            await store.compact(signal);
          } else {
            const old = store;
            if (each.kind === 'restart') await old.close();
            const next = newDirectory();
            // A copy of the folder while the store is open is what a killed process leaves.
            cpSync(directory, next, { recursive: true });
            if (each.kind === 'crash') await old.close();
            directory = next;
            clock = new FakeClock();
            store = await open(directory, {}, clock);
          }
          expect(await contents(store, KEYS)).toEqual(model);
        }
        await store.close();
      }),
      { numRuns: 40 },
    );
  });

  test('goes on in a new segment where the last is shorter than the checkpoint says', async () => {
    const directory = newDirectory();
    let store = await open(directory);
    for (let n = 0; n < 5; n++) await store.put(key(n), value(n, 200));
    await store.close();
    // As a power cut can leave it.
    const [last = ''] = segmentFiles(directory);
    truncateSync(join(directory, last), 400);
    store = await open(directory);
    await store.put(key(5), value(5, 200));
    const killed = newDirectory();
    cpSync(directory, killed, { recursive: true });
    await store.close();
    const after = await open(killed);
    expect((await after.get(key(5)))?.toString()).toBe(value(5, 200).toString());
    await after.close();
  });

  test.each([
    ['is gone', () => {}],
    ['cannot be read', (path: string) => mkdirSync(path)],
  ])('makes room for what comes also when a segment %s', async (_, damage) => {
    const directory = newDirectory();
    const store = await open(directory, { maximumSizeBytes: 64 * 1024 });
    for (let n = 0; n < 20; n++) await store.put(key(n), value(n, 1000));
    const [first = ''] = segmentFiles(directory);
    rmSync(join(directory, first));
    damage(join(directory, first));
    // Enough of it is removed to make it worth compacting before anything is evicted.
    await store.remove(key(0));
    await store.remove(key(1));
    for (let n = 20; n < 80; n++) await store.put(key(n), value(n, 1000));
    expect(await store.get(key(79))).toBeDefined();
    await store.close();
  });

  test('evicts what was used last by a clock that has been set back since', async () => {
    const clock = new FakeClock();
    const now = clock.now();
    const store = await open(newDirectory(), { maximumSizeBytes: 64 * 1024, minimumAgeMilliseconds: 60_000 }, clock);
    clock.setWallClock(now + 365 * 24 * 3_600_000);
    for (let n = 0; n < 20; n++) await store.put(key(n), value(n, 1000));
    clock.setWallClock(now);
    for (let n = 20; n < 60; n++) await store.put(key(n), value(n, 1000));
    expect(await store.get(key(59))).toBeDefined();
    expect(await store.get(key(0))).toBeUndefined();
    await store.close();
  });

  test('a damaged checkpoint costs time and nothing else', async () => {
    const directory = newDirectory();
    const before = await open(directory);
    for (let n = 0; n < 50; n++) await before.put(key(n), value(n, 100));
    await before.close();
    const path = join(directory, 'checkpoint');
    const bytes = readFileSync(path);
    bytes[bytes.byteLength >> 1] = (bytes[bytes.byteLength >> 1] as number) ^ 1;
    writeFileSync(path, bytes);
    const after = await open(directory);
    expect((await contents(after, 50)).size).toBe(50);
    await after.close();
  });

  test('a flipped bit in a stored value is noticed once and then missing', async () => {
    const directory = newDirectory();
    const store = await open(directory, { segmentBytes: 65_536 });
    await store.put(key(1), value(1, 500));
    await store.put(key(2), value(2, 500));
    const path = join(directory, segmentFiles(directory)[0] as string);
    const bytes = readFileSync(path);
    bytes[300] = (bytes[300] as number) ^ 4;
    writeFileSync(path, bytes);
    await expect(store.get(key(1))).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
    expect(store.has(key(1))).toBe(false);
    expect(await store.get(key(2))).toEqual(value(2, 500));
    await store.put(key(1), value(1, 500));
    expect(await store.get(key(1))).toEqual(value(1, 500));
    await store.close();
  });

  test('a segment that was cut or removed takes only its own records with it', async () => {
    const directory = newDirectory();
    const before = await open(directory);
    for (let n = 0; n < 40; n++) await before.put(key(n), value(n, 500));
    await before.close();
    const [first, second] = segmentFiles(directory) as [string, string];
    rmSync(join(directory, first));
    truncateSync(join(directory, second), 2000);
    const after = await open(directory);
    const found = await contents(after, 40);
    expect(found.size).toBeGreaterThan(20);
    expect(found.size).toBeLessThan(40);
    for (const [n, data] of found) expect(data).toBe(value(n, 500).toString('latin1'));
    await after.close();
  });

  test('a damaged segment header takes no record with it', async () => {
    const directory = newDirectory();
    const store = await open(directory);
    for (let n = 0; n < 20; n++) await store.put(key(n), value(n, 100));
    const segment = join(directory, segmentFiles(directory)[0] as string);
    const bytes = readFileSync(segment);
    bytes[0] = 0;
    writeFileSync(segment, bytes);
    await store.close();
    const again = await open(directory);
    expect((await contents(again, 20)).size).toBe(20);
    await again.close();
  });

  test('a segment that is cut while the store runs is noticed', async () => {
    const directory = newDirectory();
    const store = await open(directory);
    for (let n = 0; n < 20; n++) await store.put(key(n), value(n, 500));
    truncateSync(join(directory, segmentFiles(directory)[0] as string), 100);
    await expect(store.get(key(0))).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
    expect(await store.get(key(19))).toEqual(value(19, 500));
    await store.close();
  });

  test('compaction gives room back and reads go on all the while', async () => {
    const directory = newDirectory();
    const store = await open(directory, { segmentBytes: 16_384 });
    for (let n = 0; n < 400; n++) await store.put(key(n), value(n, 500));
    const before = store.usedBytes;
    for (let n = 0; n < 400; n++) if (n % 4 !== 0) await store.remove(key(n));
    const compaction = { running: true };
    const compacted = store.compact(signal).finally(() => {
      compaction.running = false;
    });
    let reads = 0;
    while (compaction.running) {
      const n = (reads % 100) * 4;
      expect(await store.get(key(n))).toEqual(value(n, 500));
      reads += 1;
    }
    await compacted;
    expect(reads).toBeGreaterThan(0);
    expect(store.usedBytes).toBeLessThan(before / 2);
    const onDisk = segmentFiles(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
    expect(onDisk).toBe(store.usedBytes);
    expect((await contents(store, 400)).size).toBe(100);
    await store.close();
  });

  test('writers that come together share a group, and their order is kept', async () => {
    const store = await open(newDirectory(), { sync: true });
    const writes = Array.from({ length: 300 }, (_, i) => store.put(key(i % 3), value(i, 50)));
    expect(new Set(writes).size).toBeLessThan(5);
    await Promise.all(writes);
    expect(await contents(store, 3)).toEqual(
      new Map([297, 298, 299].map((i) => [i % 3, value(i, 50).toString('latin1')])),
    );
    await store.close();
  });

  test('a removal while a put of the same key is under way comes after it', async () => {
    const store = await open(newDirectory());
    const put = store.put(key(1), value(1, 10));
    const removal = store.remove(key(1));
    await Promise.all([put, removal]);
    expect(store.has(key(1))).toBe(false);
    await store.close();
  });

  test('values larger than a segment or the staging memory are stored', async () => {
    const directory = newDirectory();
    const store = await open(directory);
    const large = value(1, 3_000_000);
    await Promise.all([store.put(key(0), value(0, 10)), store.put(key(1), large), store.put(key(2), value(2, 10))]);
    expect((await store.get(key(1)))?.equals(large)).toBe(true);
    expect(await store.get(key(2))).toEqual(value(2, 10));
    await store.close();
    const after = await open(directory);
    expect((await after.get(key(1)))?.equals(large)).toBe(true);
    await after.close();
  });

  test('a stopped store leaves no timer', async () => {
    const clock = new FakeClock();
    const store = await open(newDirectory(), {}, clock);
    await store.close();
    expect(clock.pendingTimers).toBe(0);
  });
});
