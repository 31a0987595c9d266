import { randomBytes, randomInt } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { commandLine, startCommandLine } from '../support/command-line.ts';
import { listProcesses, type ProcessEntry, processesWithArgument, survivors } from '../support/process-table.ts';
import { type Program, portOf, startProgram } from '../support/program.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** How long another process may take over what it was told, on a machine that is busy. */
const PATIENCE = { timeout: 30_000 };

/** `warren up` as a process: its ports, its folders, its signals, and what it leaves behind. */

const cleanups: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function dataFolder(): Promise<string> {
  const folder = await temporaryFolder('up');
  cleanups.push(() => removeFolder(folder));
  return folder;
}

function start(...args: readonly string[]): Program {
  const program = startUp(args);
  cleanups.push(async () => {
    program.kill('SIGKILL');
    await program.ended;
  });
  return program;
}

function startUp(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  return startProgram(['up', ...args], env);
}

/** The workers whose parent this is. */
async function workersOf(parent: number): Promise<ProcessEntry[]> {
  const children = (await listProcesses()).filter((each) => each.parent === parent);
  return children.filter(({ commandLine }) => commandLine.includes('--parent-pipe'));
}

async function startWithWorker(): Promise<{ readonly grid: Program; readonly port: string }> {
  const grid = start('--port', '0', '--data-dir', await dataFolder(), '--workers', '1');
  return { grid, port: await portOf(grid) };
}

describe('what warren up was told', () => {
  let folder: string;
  let data: string;
  let grid: Program;
  let port: string;

  const run = (...args: readonly string[]) => commandLine(`127.0.0.1:${port}`, ...args);

  beforeAll(async () => {
    folder = await temporaryFolder('up');
    data = join(folder, 'data');
    const file = join(folder, 'warren.yaml');
    const settings = {
      instances: [{ name: 'farm' }],
      worker: { slots: 7 },
      server: { listen: '127.0.0.1:1' },
      blobs: { minimumAgeSeconds: 0 },
    };
    await writeFile(file, JSON.stringify(settings));
    const flags = ['--port', '0', '--data-dir', data, '--workers', '3', '--max-size', '64M', '--config', file];
    grid = startUp(flags, { XDG_CACHE_HOME: join(folder, 'cache') });
    port = await portOf(grid);
  });

  afterAll(async () => {
    grid?.kill('SIGKILL');
    await grid?.ended;
    await removeFolder(folder);
  });

  async function metric(name: string): Promise<number> {
    const url = /http:\/\/127\.0\.0\.1:\d+$/m.exec(grid.stdout())?.[0];
    const response = await fetch(`${url}/metrics`, { headers: { Connection: 'close' } });
    const line = (await response.text()).split('\n').find((each) => each.startsWith(`${name} `));
    return Number(line?.split(' ')[1]);
  }

  it('prints the port that it got and flags that can be pasted, with the instance of its file', () => {
    expect(grid.stdout()).toContain(
      `bazel build --remote_executor=grpc://127.0.0.1:${port} --remote_instance_name=farm`,
    );
    expect(grid.stdout()).toContain(`RECC_SERVER=127.0.0.1:${port} RECC_FORCE_REMOTE=1 RECC_INSTANCE=farm`);
  });

  it('serves the instance of --config and no other', async () => {
    expect(await run('exec', '--instance', 'farm', '--', 'echo', 'hello')).toMatchObject({
      exitCode: 0,
      stdout: 'hello\n',
    });
    const other = await run('capabilities', '--instance', 'other');
    expect(other.stderr).toContain("'other'");
  });

  it('runs as many actions at once as --workers says, whatever the file says', async () => {
    const mark = `3600.${randomInt(1_000_000, 9_999_999)}`;
    const texts = ['a', 'b', 'c', 'd'];
    const runs = texts.map((text) =>
      startCommandLine(`127.0.0.1:${port}`, 'exec', '--instance', 'farm', '--', 'sh', '-c', `sleep ${mark}; ${text}`),
    );
    const sleeping = async () => (await processesWithArgument(mark)).length;
    await expect.poll(sleeping, PATIENCE).toBe(3);
    const operations = async () => (await run('operation', 'list', '--instance', 'farm', '--json')).json() as unknown[];
    await expect.poll(async () => (await operations()).length, PATIENCE).toBe(4);
    expect(await sleeping()).toBe(3);
    for (const each of runs) each.interrupt();
    await Promise.all(runs.map((each) => each.outcome));
    await expect.poll(sleeping, PATIENCE).toBe(0);
  });

  it('keeps everything below --data-dir, and no more of it than --max-size', async () => {
    const limit = await metric('warren_storage_limit_bytes');
    expect(limit).toBeGreaterThan(60 * 1024 ** 2);
    expect(limit).toBeLessThanOrEqual(64 * 1024 ** 2);
    for (let count = 0; count < 4; count++) {
      const file = join(folder, `blob-${count}`);
      await writeFile(file, randomBytes(24 * 1024 ** 2));
      expect(await run('cas', 'upload', '--instance', 'farm', file)).toMatchObject({ exitCode: 0 });
    }
    expect(await metric('warren_storage_bytes')).toBeGreaterThan(24 * 1024 ** 2);
    await expect.poll(() => metric('warren_storage_bytes'), PATIENCE).toBeLessThanOrEqual(limit);
    expect(await readdir(data)).toEqual(expect.arrayContaining(['action-cache', 'blobs', 'worker']));
    expect(await readdir(folder)).not.toContain('cache');
  });

  it('refuses a second start on its folder or its port with exit code 3, and says which', async () => {
    const sameFolder = start('--port', '0', '--data-dir', data, '--workers', '0');
    const samePort = start('--port', port, '--data-dir', await dataFolder(), '--workers', '0');
    expect(await sameFolder.ended).toMatchObject({ code: 3 });
    expect(sameFolder.stderr()).toContain(data);
    expect(await samePort.ended).toMatchObject({ code: 3 });
    expect(samePort.stderr()).toContain(`127.0.0.1:${port}: something else listens there`);
    for (const each of [sameFolder, samePort]) expect(each.stderr()).not.toMatch(/^\s+at /m);
  });

  it('stops on SIGTERM, and its worker with it', async () => {
    const children = await workersOf(grid.pid);
    expect(children).toHaveLength(1);
    grid.kill('SIGTERM');
    expect(await grid.ended).toMatchObject({ code: 0 });
    await expect.poll(() => survivors(children), PATIENCE).toEqual([]);
  });
});

describe('warren up', () => {
  it('lets a running action finish, and its client hear of it, on the first Ctrl-C', async () => {
    const { grid, port } = await startWithWorker();
    const seconds = `2.${randomInt(1_000_000, 9_999_999)}`;
    const exec = startCommandLine(`127.0.0.1:${port}`, 'exec', '--', 'sh', '-c', `sleep ${seconds}; echo finished`);
    await expect.poll(() => processesWithArgument(seconds), PATIENCE).not.toEqual([]);
    grid.kill('SIGINT');
    expect(await exec.outcome).toMatchObject({ exitCode: 0, stdout: 'finished\n' });
    expect(await grid.ended).toMatchObject({ code: 0 });
    expect(grid.stderr()).toContain('waiting up to 30 s for 1 running actions');
  });

  it('stops at once on the second Ctrl-C, and leaves no action behind', async () => {
    const { grid, port } = await startWithWorker();
    const seconds = `3600.${randomInt(1_000_000, 9_999_999)}`;
    const exec = startCommandLine(`127.0.0.1:${port}`, 'exec', '--', 'sleep', seconds);
    await expect.poll(() => processesWithArgument(seconds), PATIENCE).not.toEqual([]);
    grid.kill('SIGINT');
    await expect.poll(() => grid.stderr(), PATIENCE).toContain('Ctrl-C ends them');
    grid.kill('SIGINT');
    expect(await grid.ended).toMatchObject({ code: 130 });
    await expect.poll(() => processesWithArgument(seconds), PATIENCE).toEqual([]);
    exec.interrupt();
    expect((await exec.outcome).exitCode).not.toBe(0);
  });

  it('starts its worker again when that is killed, and takes it with it when it is killed itself', async () => {
    const { grid } = await startWithWorker();
    const first = await workersOf(grid.pid);
    expect(first).toHaveLength(1);
    process.kill(first[0]?.pid ?? Number.NaN, 'SIGKILL');
    await expect.poll(() => survivors(first), PATIENCE).toEqual([]);
    await expect.poll(() => workersOf(grid.pid), PATIENCE).toHaveLength(1);
    const second = await workersOf(grid.pid);
    grid.kill('SIGKILL');
    await grid.ended;
    await expect.poll(() => survivors(second), PATIENCE).toEqual([]);
  });

  it('names every wrong flag or setting and exits with 2', async () => {
    const flag = start('--max-size', 'lots');
    expect(await flag.ended).toMatchObject({ code: 2 });
    expect(flag.stderr()).toContain('--max-size');
    const file = start('--config', '/nowhere/warren.yaml');
    expect(await file.ended).toMatchObject({ code: 2 });
    expect(file.stderr()).toContain('/nowhere/warren.yaml');
  });
});
