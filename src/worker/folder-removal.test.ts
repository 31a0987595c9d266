import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../lib/log.ts';
import { removeFolder } from './folder-removal.ts';

describe('removeFolder', () => {
  let parent: string;

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'warren-removal-'));
  });

  afterEach(() => rmSync(parent, { recursive: true, force: true }));

  it('removes what lies deeper than a path can reach, as configure scripts make it', async () => {
    const deep = 'for (1 .. 60) { my $n = "x" x 200; mkdir $n or die; chdir $n or die } open(F, ">", "\\xff") or die';
    expect(
      spawnSync('/usr/bin/perl', ['-e', `mkdir "f" or die; chdir "f" or die; ${deep}`], { cwd: parent }).status,
    ).toBe(0);
    await removeFolder(join(parent, 'f'), silentLogger);
    expect(readdirSync(parent)).toEqual([]);
  });

  it('ignores a folder that is not there', async () => {
    await removeFolder(join(parent, 'f'), silentLogger);
    expect(existsSync(join(parent, 'f'))).toBe(false);
  });
});
