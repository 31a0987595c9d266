import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RandomIdGenerator } from '../lib/ids.ts';
import { silentLogger } from '../lib/log.ts';
import { WorkFolders } from './work-folders.ts';

/** A path has room for a folder in the work folder, but for no file in it. */
const PARENT_BYTES = 4_047;

describe('WorkFolders', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warren-work-folders-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function openAt(parent: string): Promise<WorkFolders> {
    const folders = new WorkFolders(parent, new RandomIdGenerator(), silentLogger);
    await folders.open();
    return folders;
  }

  it('leaves nothing of a folder that could not be made whole', async () => {
    let parent = folder;
    while (parent.length + 202 < PARENT_BYTES) parent = join(parent, 'x'.repeat(200));
    parent = join(parent, 'x'.repeat(PARENT_BYTES - parent.length - 1));
    const folders = await openAt(parent);
    expect(() => folders.create()).toThrow('Failed to make a work folder');
    expect(readdirSync(parent)).toEqual(['directories']);
  });

  it('removes at the next start what a killed worker had put by', async () => {
    const parent = join(folder, 'work');
    const { directories, inputRoot, path } = (await openAt(parent)).create();
    mkdirSync(join(inputRoot, 'a'));
    await directories.park(join(inputRoot, 'a'));
    expect(readdirSync(join(parent, 'directories'))).toHaveLength(1);
    await openAt(parent);
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(parent)).toEqual(['directories']);
    expect(readdirSync(join(parent, 'directories'))).toEqual([]);
  });

  it('keeps a file that nothing was printed into, and gives another for one that was', async () => {
    const folders = await openAt(join(folder, 'work'));
    const first = folders.create();
    const stdout = lstatSync(first.stdoutFile).ino;
    const sealed = await folders.seal(first);
    writeFileSync(first.stderrFile, 'printed');
    await folders.release(first, folders.untouched(first, sealed), sealed);
    const second = folders.create();
    expect(second.path).toBe(first.path);
    expect(lstatSync(second.stdoutFile).ino).toBe(stdout);
    expect(lstatSync(second.stderrFile)).toMatchObject({ size: 0, mode: 0o100600 });
  });
});
