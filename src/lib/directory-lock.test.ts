import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DirectoryLock } from './directory-lock.ts';

const root = mkdtempSync(join(tmpdir(), 'warren-lock-'));
afterAll(() => rmSync(root, { recursive: true }));
const LOCK = new URL('directory-lock.ts', import.meta.url).href;

/** A process that locks a folder and then waits. */
function holder(directory: string) {
  const code = `
    const { DirectoryLock } = await import(${JSON.stringify(LOCK)});
    await DirectoryLock.acquire(${JSON.stringify(directory)});
    process.stdout.write('locked');
    setInterval(() => {}, 1000);`;
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

describe('DirectoryLock', () => {
  test('makes the folder, refuses a second holder and can be had again', async () => {
    const directory = join(root, 'a', 'b');
    const lock = await DirectoryLock.acquire(directory);
    await expect(DirectoryLock.acquire(directory)).rejects.toThrow(`${directory} is in use by another process`);
    await lock.release();
    await (await DirectoryLock.acquire(directory)).release();
  });

  test('names the process that holds it, and goes with that process however it ends', async () => {
    const directory = join(root, 'killed');
    const child = holder(directory);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await expect(DirectoryLock.acquire(directory)).rejects.toThrow(`(pid ${child.pid})`);
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    await (await DirectoryLock.acquire(directory)).release();
  });
});
