import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { startCommandLine } from '../support/command-line.ts';
import { processesWithArgument } from '../support/process-table.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** How long another process may take over what it was told, on a machine that is busy. */
const PATIENCE = { timeout: 30_000 };

/** `warren up` as a process: its ports, its folders, its signals, and what it leaves behind. */

const ROOT = join(import.meta.dirname, '../..');

interface Started {
  readonly child: ChildProcess;
  readonly exitCode: Promise<number | null>;
  output(): string;
}

const cleanups: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function dataFolder(): Promise<string> {
  const folder = await temporaryFolder('up');
  cleanups.push(() => removeFolder(folder));
  return folder;
}

function start(...args: readonly string[]): Started {
  const child = spawn(process.execPath, ['--import', 'tsx', join(ROOT, 'src/bin/main.ts'), 'up', ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output += data.toString()));
  const exitCode = once(child, 'close').then(([code]) => code as number | null);
  cleanups.push(async () => {
    child.kill('SIGKILL');
    await exitCode;
  });
  return { child, exitCode, output: () => output };
}

/** The port that it printed. */
async function portOf(started: Started): Promise<string> {
  for (;;) {
    const port = /grpc:\/\/127\.0\.0\.1:(\d+)/.exec(started.output())?.[1];
    if (port !== undefined) return port;
    const ended = await Promise.race([started.exitCode, once(started.child.stdout as NodeJS.ReadableStream, 'data')]);
    if (!Array.isArray(ended)) throw new Error(`it ended with ${ended}:\n${started.output()}`);
  }
}

/** The workers whose parent this is, with their start times, which tell them from later processes of the same id. */
async function workersOf(parent: number | undefined): Promise<string[]> {
  const children: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const fields = await statOf(pid);
    const isWorker = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('--parent-pipe');
    if (isWorker && fields?.[1] === String(parent)) children.push(`${pid}/${fields[19]}`);
  }
  return children;
}

async function isGone(child: string): Promise<boolean> {
  const [pid, startTime] = child.split('/');
  const fields = await statOf(pid ?? '');
  return fields === undefined || fields[19] !== startTime || fields[0] === 'Z';
}

async function statOf(pid: string): Promise<string[] | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

async function untilAllGone(children: readonly string[]): Promise<void> {
  for (;;) {
    const gone = await Promise.all(children.map((each) => isGone(each)));
    if (gone.every(Boolean)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function startWithWorker(): Promise<{ readonly grid: Started; readonly port: string }> {
  const grid = start('--port', '0', '--data-dir', await dataFolder(), '--workers', '1');
  return { grid, port: await portOf(grid) };
}

describe('warren up', () => {
  it('prints its port and flags, refuses a second start on its folder or its port, and stops on SIGTERM', async () => {
    const data = await dataFolder();
    const first = start('--port', '0', '--data-dir', data, '--workers', '1');
    const port = await portOf(first);
    expect(first.output()).toContain(`--remote_executor=grpc://127.0.0.1:${port}`);
    expect(first.output()).toContain(`RECC_SERVER=127.0.0.1:${port}`);

    const sameFolder = start('--port', '0', '--data-dir', data, '--workers', '0');
    const samePort = start('--port', port, '--data-dir', await dataFolder(), '--workers', '0');
    expect(await sameFolder.exitCode).toBe(3);
    expect(sameFolder.output()).toContain(data);
    expect(await samePort.exitCode).toBe(3);
    expect(samePort.output()).toContain(`127.0.0.1:${port}`);

    const children = await workersOf(first.child.pid);
    expect(children).toHaveLength(1);
    first.child.kill('SIGTERM');
    expect(await first.exitCode).toBe(0);
    await untilAllGone(children);
  });

  it('lets a running action finish, and its client hear of it, on the first Ctrl-C', async () => {
    const { grid, port } = await startWithWorker();
    const seconds = `2.${randomInt(1_000_000, 9_999_999)}`;
    const exec = startCommandLine(`127.0.0.1:${port}`, 'exec', '--', 'sh', '-c', `sleep ${seconds}; echo finished`);
    await expect.poll(() => processesWithArgument(seconds), PATIENCE).not.toEqual([]);
    grid.child.kill('SIGINT');
    expect(await exec.outcome).toMatchObject({ exitCode: 0, stdout: 'finished\n' });
    expect(await grid.exitCode).toBe(0);
    expect(grid.output()).toContain('waiting up to 30 s for 1 running actions');
  });

  it('stops at once on the second Ctrl-C, and leaves no action behind', async () => {
    const { grid, port } = await startWithWorker();
    const seconds = `3600.${randomInt(1_000_000, 9_999_999)}`;
    const exec = startCommandLine(`127.0.0.1:${port}`, 'exec', '--', 'sleep', seconds);
    await expect.poll(() => processesWithArgument(seconds), PATIENCE).not.toEqual([]);
    grid.child.kill('SIGINT');
    await expect.poll(() => grid.output(), PATIENCE).toContain('Ctrl-C ends them');
    grid.child.kill('SIGINT');
    expect(await grid.exitCode).toBe(130);
    await expect.poll(() => processesWithArgument(seconds), PATIENCE).toEqual([]);
    exec.interrupt();
    expect((await exec.outcome).exitCode).not.toBe(0);
  });

  it('takes its worker with it when it is killed', async () => {
    const grid = start('--port', '0', '--data-dir', await dataFolder(), '--workers', '1');
    await portOf(grid);
    const children = await workersOf(grid.child.pid);
    expect(children).toHaveLength(1);
    grid.child.kill('SIGKILL');
    await grid.exitCode;
    await untilAllGone(children);
  });

  it('starts its worker again when that is killed', async () => {
    const grid = start('--port', '0', '--data-dir', await dataFolder(), '--workers', '1');
    await portOf(grid);
    const [first] = await workersOf(grid.child.pid);
    process.kill(Number(first?.split('/')[0]), 'SIGKILL');
    await untilAllGone([first ?? '']);
    let children: string[] = [];
    while (children.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      children = await workersOf(grid.child.pid);
    }
    expect(children).not.toContain(first);
    grid.child.kill('SIGINT');
    expect(await grid.exitCode).toBe(0);
    await untilAllGone(children);
  });

  it('names every wrong flag or setting and exits with 2', async () => {
    const flag = start('--max-size', 'lots');
    expect(await flag.exitCode).toBe(2);
    expect(flag.output()).toContain('--max-size');
    const file = start('--config', '/nowhere/warren.yaml');
    expect(await file.exitCode).toBe(2);
    expect(file.output()).toContain('/nowhere/warren.yaml');
  });
});
