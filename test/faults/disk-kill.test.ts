import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, test } from 'vitest';
import { DiskActionCacheStore } from '../../src/adapters/action-cache/disk/disk-action-cache-store.ts';
import { diskActionCacheSchema } from '../../src/adapters/action-cache/disk/disk-configuration.ts';
import { DiskBlobStore } from '../../src/adapters/blob/disk/disk-blob-store.ts';
import { diskBlobStoreSchema } from '../../src/adapters/blob/disk/disk-configuration.ts';
import { digestOf } from '../../src/domain/digest.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { someBytes } from '../../src/ports/blob-store.suite.ts';

const signal = new AbortController().signal;
const root = mkdtempSync(join(tmpdir(), 'warren-kill-'));
afterAll(() => rmSync(root, { recursive: true }));

const CHILD = new URL('../support/disk-writer-child.ts', import.meta.url).pathname;

/** Runs the child until it has acknowledged so many blobs, and kills it then. @returns seed and size of each. */
async function writeAndKill(directory: string, durability: string, first: number, blobs: number) {
  const child = spawn(process.execPath, ['--import', 'tsx', CHILD, directory, durability, `${first}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const acknowledged: Array<[number, number]> = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const [seed, size] = line.split(' ').map(Number);
    if (seed !== undefined && size !== undefined) acknowledged.push([seed, size]);
    if (acknowledged.length >= blobs) child.kill('SIGKILL');
  }
  return acknowledged;
}

describe.each(['none', 'sync'])('a process killed in the middle of a hundred uploads, durability %s', (durability) => {
  test('leaves every acknowledged blob whole, no other visible, and no file over', async () => {
    const directory = join(root, durability);
    const dependencies = { clock: new SystemClock(), logger: silentLogger, random: Math.random };
    const all: Array<[number, number]> = [];
    for (const [round, blobs] of [200, 1, 350, 90, 30, 140].entries()) {
      all.push(...(await writeAndKill(directory, durability, round * 100_000, blobs)));
      const store = await DiskBlobStore.open(
        diskBlobStoreSchema.parse({ kind: 'disk', directory: join(directory, 'blobs'), durability }),
        dependencies,
        signal,
      );
      const actions = await DiskActionCacheStore.open(
        diskActionCacheSchema.parse({ kind: 'disk', directory: join(directory, 'actions'), durability }),
        dependencies,
        signal,
      );
      for (const [seed, size] of all) {
        const data = someBytes(size, seed);
        const digest = digestOf(data);
        const read = await store.readWhole(digest, signal);
        expect(Buffer.from(read).equals(data), `blob ${seed}`).toBe(true);
        const result = await actions.get('main', digest, signal);
        expect(Buffer.from(result ?? []).equals(data.subarray(0, 100)), `result ${seed}`).toBe(true);
      }
      // The process may have died between storing a blob and saying so: of each of its hundred uploads one may be there
      // that was not acknowledged. All that is there is whole: a torn one has no right checksum.
      expect(store.count).toBeGreaterThanOrEqual(all.length);
      expect(store.count).toBeLessThanOrEqual(all.length + (round + 1) * 100);
      // No file is left over: all that lie there are whole, and known to the index.
      expect(readdirSync(join(directory, 'blobs', 'tmp'))).toEqual([]);
      for (const each of ['blobs', 'actions']) {
        const names = readdirSync(join(directory, each, 'segments'));
        expect(names.filter((name) => !/^(\d{10}\.segment|checkpoint)$/.test(name))).toEqual([]);
      }
      const differences: unknown[] = [];
      for await (const each of store.maintenance.check(signal)) differences.push(each);
      for await (const each of actions.maintenance.check(signal)) differences.push(each);
      expect(differences).toEqual([]);
      await store.close();
      await actions.close();
      // The next process begins once with a checkpoint and once without.
      if (round % 2 === 1) {
        rmSync(join(directory, 'blobs', 'segments', 'checkpoint'), { force: true });
        rmSync(join(directory, 'actions', 'segments', 'checkpoint'), { force: true });
      }
    }
  });
});
