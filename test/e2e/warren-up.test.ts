import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { processTree, survivors } from '../support/process-table.ts';
import { type RunningGrid, runProgram, startUp } from '../support/program.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** How soon after the end of a grid none of its processes may be left. */
const GONE_WITHIN_MS = 10_000;

let folder: string;
let dataDirectory: string;
let grids: RunningGrid[];

beforeEach(async () => {
  folder = await temporaryFolder('up');
  dataDirectory = join(folder, 'data');
  grids = [];
});

afterEach(async () => {
  for (const grid of grids) grid.kill('SIGKILL');
  await Promise.all(grids.map((grid) => grid.ended));
  await removeFolder(folder);
});

async function up(options: { port?: number; args?: readonly string[] } = {}): Promise<RunningGrid> {
  const grid = await startUp({ dataDirectory, ...options });
  grids.push(grid);
  return grid;
}

describe('warren up', () => {
  it('prints the endpoint and flags that can be pasted', async () => {
    const grid = await up();
    expect(grid.stdout()).toContain(`Warren is up at grpc://127.0.0.1:${grid.port}`);
    expect(grid.stdout()).toContain(`--remote_executor=grpc://127.0.0.1:${grid.port}`);
    expect(grid.stdout()).toContain(`RECC_SERVER=127.0.0.1:${grid.port}`);
  });

  it('ends with 0 on Ctrl-C and leaves no process behind', async () => {
    const grid = await up();
    const tree = await processTree(grid.pid);
    expect(tree.length).toBeGreaterThan(1);
    grid.kill('SIGINT');
    expect(await grid.ended).toEqual({ code: 0, signal: null });
    await expect.poll(() => survivors(tree), { timeout: GONE_WITHIN_MS }).toEqual([]);
  });

  it('leaves no process behind when it is killed outright', async () => {
    const grid = await up();
    const tree = await processTree(grid.pid);
    grid.kill('SIGKILL');
    expect(await grid.ended).toEqual({ code: null, signal: 'SIGKILL' });
    await expect.poll(() => survivors(tree), { timeout: GONE_WITHIN_MS }).toEqual([]);
  });

  it('refuses a port that is taken, and says so', async () => {
    const { port } = await up();
    const second = await runProgram(['up', '--port', String(port), '--data-dir', join(folder, 'other')]);
    expect(second.code).toBeGreaterThan(0);
    expect(second.stderr).toContain(String(port));
    expect(second.stderr).toMatch(/something else listens there/);
    expect(second.stderr).not.toMatch(/^\s+at /m);
  });

  it('refuses a data folder that another grid uses, and says so', async () => {
    await up();
    const second = await runProgram(['up', '--port', '0', '--data-dir', dataDirectory]);
    expect(second.code).toBeGreaterThan(0);
    expect(second.stderr).toContain(dataDirectory);
    expect(second.stderr).not.toMatch(/^\s+at /m);
  });

  it('takes over a data folder whose grid was killed', async () => {
    const first = await up();
    first.kill('SIGKILL');
    await first.ended;
    const second = await up();
    expect(second.port).toBeGreaterThan(0);
  });
});

describe('warren exec', () => {
  const exec = (grid: RunningGrid, ...args: readonly string[]) =>
    runProgram(['exec', '--remote', `127.0.0.1:${grid.port}`, ...args]);

  it('runs a command on the grid, prints what it prints, and passes its exit code on', async () => {
    const grid = await up();
    const result = await exec(grid, '--', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    expect(result.stdout).toBe('out\n');
    expect(result.stderr).toContain('err\n');
    expect(result.code).toBe(7);
  });

  it('answers a command that the grid knows from its cache, also after a restart and a kill', async () => {
    const command = ['--', 'sh', '-c', 'head -c 16 /dev/urandom | od -A n -t x1'];
    const grid = await up();
    const first = await exec(grid, ...command);
    expect(first.code).toBe(0);
    expect((await exec(grid, ...command)).stdout).toBe(first.stdout);
    expect((await exec(grid, '--no-cache', ...command)).stdout).not.toBe(first.stdout);
    const cached = await exec(grid, ...command);
    grid.kill('SIGINT');
    await grid.ended;
    const second = await up();
    expect((await exec(second, ...command)).stdout).toBe(cached.stdout);
    second.kill('SIGKILL');
    await second.ended;
    const third = await up();
    expect((await exec(third, ...command)).stdout).toBe(cached.stdout);
  });
});
