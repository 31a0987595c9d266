import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SpareDirectories } from './spare-directories.ts';

describe('SpareDirectories', () => {
  let folder: string;
  let directories: SpareDirectories;

  const at = (name: string) => join(folder, name);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warren-spare-'));
    directories = new SpareDirectories(at('spare'), 2);
    directories.open();
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('makes a directory, and gives one again that was put by', async () => {
    directories.make(at('a'));
    const { ino } = statSync(at('a'));
    await directories.park(at('a'));
    expect(readdirSync(folder)).toEqual(['spare']);
    directories.make(at('b'));
    expect(statSync(at('b')).ino).toBe(ino);
    expect(readdirSync(at('spare'))).toEqual([]);
  });

  it('keeps no more than it may', async () => {
    for (const name of ['a', 'b', 'c']) directories.make(at(name));
    for (const name of ['a', 'b', 'c']) await directories.park(at(name));
    expect(readdirSync(folder)).toEqual(['spare']);
    expect(readdirSync(at('spare'))).toHaveLength(2);
  });

  it('makes one where somebody has taken the spare one away', async () => {
    directories.make(at('a'));
    await directories.park(at('a'));
    rmSync(join(at('spare'), readdirSync(at('spare'))[0] ?? ''), { recursive: true });
    directories.make(at('b'));
    expect(statSync(at('b')).isDirectory()).toBe(true);
  });

  it('fails as mkdir does where there is nothing to make it in, and keeps what it has', async () => {
    directories.make(at('a'));
    await directories.park(at('a'));
    expect(() => directories.make(at('none/b'))).toThrow('ENOENT');
    directories.make(at('b'));
    expect(readdirSync(at('spare'))).toEqual([]);
  });
});
