import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { processTree, survivors } from '../support/process-table.ts';
import { type RunningGrid, runProgram, startUp } from '../support/program.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** `./warren up` as its users start it, through the launcher; its flags are in test/integration/warren-up.test.ts. */

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

async function up(): Promise<RunningGrid> {
  const grid = await startUp({ dataDirectory });
  grids.push(grid);
  return grid;
}

const exec = (grid: RunningGrid, ...args: readonly string[]) =>
  runProgram(['exec', '--remote', `127.0.0.1:${grid.port}`, ...args]);

describe('warren up', () => {
  it('runs a command for warren exec, which prints what it prints and passes its exit code on', async () => {
    const grid = await up();
    expect(grid.stdout()).toContain(`Warren is up at grpc://127.0.0.1:${grid.port}`);
    const result = await exec(grid, '--', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    expect(result.stdout).toBe('out\n');
    expect(result.stderr).toContain('err\n');
    expect(result.code).toBe(7);
  });

  it('answers a command that it knows from its cache, also after Ctrl-C and after a kill, which leave no process', async () => {
    const command = ['--', 'sh', '-c', 'head -c 16 /dev/urandom | od -A n -t x1'];
    const first = await up();
    const firstTree = await processTree(first.pid);
    expect(firstTree.length).toBeGreaterThan(1);
    const ran = await exec(first, ...command);
    expect(ran.code).toBe(0);
    expect((await exec(first, ...command)).stdout).toBe(ran.stdout);
    expect((await exec(first, '--no-cache', ...command)).stdout).not.toBe(ran.stdout);
    const known = await exec(first, ...command);
    first.kill('SIGINT');
    expect(await first.ended).toEqual({ code: 0, signal: null });
    await expect.poll(() => survivors(firstTree), { timeout: GONE_WITHIN_MS }).toEqual([]);

    const second = await up();
    const secondTree = await processTree(second.pid);
    expect((await exec(second, ...command)).stdout).toBe(known.stdout);
    second.kill('SIGKILL');
    expect(await second.ended).toEqual({ code: null, signal: 'SIGKILL' });
    await expect.poll(() => survivors(secondTree), { timeout: GONE_WITHIN_MS }).toEqual([]);

    const third = await up();
    expect((await exec(third, ...command)).stdout).toBe(known.stdout);
  });
});
