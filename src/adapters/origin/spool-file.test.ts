import { watch } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SpoolFile } from './spool-file.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-spool-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('gives back what was appended, from its start', async () => {
  await using spool = await SpoolFile.create(join(folder, 'made', 'when', 'missing'), 'one');
  await spool.append(Buffer.from('some '));
  await spool.append(Buffer.from('bytes'));
  expect(spool.sizeBytes).toBe(10);
  expect(Buffer.from(await spool.start()).toString()).toBe('some bytes');
  expect((await buffer(spool.read())).toString()).toBe('some bytes');
});

test('has no name at any moment, so that a kill leaves nothing', async () => {
  const seen: (string | null)[] = [];
  using watcher = Object.assign(watch(folder), {
    [Symbol.dispose]() {
      watcher.close();
    },
  });
  watcher.on('change', (kind, name) => kind === 'rename' && seen.push(String(name)));
  await using spool = await SpoolFile.create(folder, 'one');
  await spool.append(Buffer.from('some bytes'));
  expect(await readdir(folder)).toEqual([]);
  await writeFile(join(folder, 'mark'), '');
  await expect.poll(() => seen).toContain('mark');
  expect(seen).toEqual(['mark']);
});
