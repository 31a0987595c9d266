import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DiskBlobStore } from '../../src/adapters/blob/disk/disk-blob-store.ts';
import { diskBlobStoreSchema } from '../../src/adapters/blob/disk/disk-configuration.ts';
import { type Digest, digestOf } from '../../src/domain/digest.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { someBytes } from '../../src/ports/blob-store.suite.ts';

const signal = new AbortController().signal;
let directory: string;
let clock: FakeClock;

// A file system of 16 MiB of its own; mounting it takes root, as the tests' other services do.
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'warren-full-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', directory]);
  clock = new FakeClock();
});
afterEach(() => {
  execFileSync('umount', [directory]);
  rmSync(directory, { recursive: true });
});

const open = (minimumAgeSeconds: number) =>
  DiskBlobStore.open(
    // Configured for more than the disk has.
    diskBlobStoreSchema.parse({ kind: 'disk', directory, maximumSizeBytes: 256 * 1024 * 1024, minimumAgeSeconds }),
    { clock, logger: silentLogger, random: Math.random },
    signal,
  );

describe.each([
  ['small', 20_000],
  ['large', 400_000],
])('when the disk is full, with %s blobs', (_, bytes) => {
  test('uploads get RESOURCE_EXHAUSTED, leave nothing, and reads go on', async () => {
    const store = await open(3600);
    const kept: Digest[] = [];
    const refusals: unknown[] = [];
    for (let i = 0; refusals.length < 20; i++) {
      const data = someBytes(bytes, i + 1);
      await store.write(digestOf(data), data, signal).then(
        () => kept.push(digestOf(data)),
        (error: unknown) => refusals.push(error),
      );
    }
    for (const each of refusals) expect(each).toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED });
    expect(await store.findMissing(kept, signal)).toEqual([]);
    for (const digest of kept) expect(digestOf(await store.readWhole(digest, signal))).toEqual(digest);
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
    await store.close();
    const again = await open(3600);
    for (const digest of kept) expect(digestOf(await again.readWhole(digest, signal))).toEqual(digest);
    await again.close();
  });

  test('what was used least recently makes room, and uploads go on', async () => {
    const store = await open(0);
    const outcomes: boolean[] = [];
    for (let i = 0; i < 3 * ((16 * 1024 * 1024) / bytes); i++) {
      const data = someBytes(bytes, i + 1);
      await store.write(digestOf(data), data, signal).then(
        () => outcomes.push(true),
        () => outcomes.push(false),
      );
      await clock.advance(1000);
    }
    const stored = outcomes.filter((each) => each).length;
    expect(stored).toBeGreaterThan(outcomes.length * 0.6);
    expect(outcomes.slice(-20)).toContain(true);
    await store.close();
  });
});
