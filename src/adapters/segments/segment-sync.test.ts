import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FakeClock } from '../../lib/fake-clock.ts';
import type * as FileIo from '../../lib/file-io.ts';
import { silentLogger } from '../../lib/log.ts';
import { readCheckpoint } from './checkpoint.ts';
import { RecordKind } from './record-format.ts';
import { textRecordKey } from './record-key.ts';
import { RecordStore } from './record-store.ts';
import { SegmentTable } from './segment.ts';
import { SegmentLog } from './segment-log.ts';

/** What happens while the disk is busy with one fdatasync. */
const disk = vi.hoisted(() => ({ syncs: 0, during: async (): Promise<void> => {} }));

vi.mock('../../lib/file-io.ts', async (importOriginal) => {
  const original = await importOriginal<typeof FileIo>();
  const syncData = async (fd: number) => {
    disk.syncs += 1;
    await original.syncData(fd);
    await disk.during();
  };
  return { ...original, syncData };
});

const signal = new AbortController().signal;
const payload = Buffer.alloc(100, 'x');
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'warren-sync-'));
  disk.syncs = 0;
  disk.during = async () => {};
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('the disk of a record store', () => {
  test('a checkpoint covers no byte that came while the disk was being synced', async () => {
    const clock = new FakeClock();
    const store = await RecordStore.open(
      {
        directory,
        maximumSizeBytes: 64 * 1024 * 1024,
        highWatermark: 0.95,
        lowWatermark: 0.85,
        minimumAgeMilliseconds: 0,
        segmentBytes: 1024 * 1024,
        sync: false,
        openFiles: 4,
      },
      { clock, logger: silentLogger, random: Math.random },
      signal,
    );
    await store.put(textRecordKey('before'), payload);
    const synced = store.usedBytes;
    disk.during = async () => {
      disk.during = async () => {};
      await store.put(textRecordKey('meanwhile'), payload);
    };
    await clock.advance(10 * 60 * 1000);
    const known = () =>
      readCheckpoint(
        directory,
        () => {},
        () => {},
      );
    await expect.poll(async () => (await known())?.get(1)).toBe(synced);
    await store.close();
  });

  test('what a failed sync left is synced by the next', async () => {
    const owner = { isWanted: () => true, committed: () => {}, dropped: () => {} };
    const log = new SegmentLog(
      { directory, segmentBytes: 1024 * 1024, sync: false },
      new SegmentTable(),
      owner,
      undefined,
      1,
    );
    await log.append({ kind: RecordKind.VALUE, key: textRecordKey('a'), payload, writtenSeconds: 0 });
    disk.during = async () => {
      disk.during = async () => {};
      throw new Error('the disk is ill');
    };
    await expect(log.sync()).rejects.toThrow('the disk is ill');
    await log.sync();
    expect(disk.syncs).toBe(2);
    await log.close();
  });
});
