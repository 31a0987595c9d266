import { randomInt } from 'node:crypto';
import { appendFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ListOperationsRequest, OperationsService } from '../../src/proto/google/longrunning/operations.ts';
import { Bazel, type BazelResult } from '../support/bazel/bazel.ts';
import { writeWorkspace } from '../support/bazel/workspace.ts';
import { cleanClone } from '../support/clean-clone.ts';
import { folderContents } from '../support/folder-contents.ts';
import { processesWithArgument } from '../support/process-table.ts';
import { type RunningGrid, startUp } from '../support/program.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/** No process of this machine but ours sleeps for so long. */
const SLEEP_SECONDS = `3600.${randomInt(1_000_000, 9_999_999)}`;

/** How soon after Ctrl-C nothing of a build may be left. */
const GONE_WITHIN_MS = 10_000;

let workspace: string;
let dataDirectory: string;
let clone: string;
/** `./warren` of a clean clone: what a newcomer starts. */
let launcher: string;
let bazel: Bazel;
let grid: RunningGrid;
let cold: BazelResult;
let local: Record<string, string>;

/** Runs Bazel with what a user of the grid passes, and no way around the grid. */
function remote(command: string, ...args: readonly string[]): string[] {
  return [
    command,
    `--remote_executor=${grid.endpoint}`,
    '--jobs=8',
    '--noshow_progress',
    '--color=no',
    '--verbose_failures',
    ...args,
  ];
}

const outputs = () => folderContents(join(workspace, 'bazel-bin'));

beforeAll(async () => {
  workspace = await temporaryFolder('workspace');
  dataDirectory = await temporaryFolder('data');
  clone = await temporaryFolder('clone');
  launcher = await cleanClone(join(clone, 'warren'));
  await writeWorkspace(workspace, { sleepSeconds: SLEEP_SECONDS });
  bazel = await Bazel.create(workspace);
  grid = await startUp({ launcher, dataDirectory });
  await succeeds('build', '--spawn_strategy=local', '--jobs=2', '--noshow_progress', '//...');
  local = await outputs();
  await succeeds('clean');
  cold = await succeeds(...remote('build', '//...'));
});

afterAll(async () => {
  await bazel?.[Symbol.asyncDispose]();
  grid?.kill('SIGTERM');
  await grid?.ended;
  await removeFolder(workspace);
  await removeFolder(dataDirectory);
  await removeFolder(clone);
});

/** Runs Bazel and expects the build to succeed. */
async function succeeds(...args: readonly string[]): Promise<BazelResult> {
  const result = await bazel.run(...args);
  if (result.exitCode !== 0)
    throw new Error(`bazel exited with ${result.exitCode}:\n${result.output}${grid?.stderr() ?? ''}`);
  return result;
}

/** The processes of a build that ran: neither Bazel's own bookkeeping nor answers from a cache. */
function ran({ processes }: BazelResult): Record<string, number> {
  const { internal: _, 'remote cache hit': __, ...others } = processes;
  return others;
}

describe('a Bazel build on the grid', () => {
  it('runs every action of a cold build remotely, 200 at least', () => {
    expect(Object.keys(ran(cold))).toEqual(['remote']);
    expect(cold.processes['remote']).toBeGreaterThanOrEqual(200);
  });

  it('gives to the byte what a local build gives', async () => {
    await succeeds('clean');
    await succeeds(...remote('build', '//...'));
    const remotely = await outputs();
    expect(Object.keys(remotely)).toEqual(Object.keys(local));
    expect(remotely).toEqual(local);
  });

  it('answers every action from the cache after bazel clean', async () => {
    await succeeds('clean');
    const again = await succeeds(...remote('build', '//...'));
    expect(ran(again)).toEqual({});
    expect(again.processes['remote cache hit']).toBe(
      (cold.processes['remote'] ?? 0) + (cold.processes['remote cache hit'] ?? 0),
    );
  });

  it('runs tests remotely, and answers them from the cache when nothing has changed', async () => {
    const first = await succeeds(...remote('test', '//...'));
    expect(first.output).toContain('Executed 12 out of 12 tests: 12 tests pass');
    expect(Object.keys(ran(first))).toEqual(['remote']);
    await succeeds('clean');
    const again = await succeeds(...remote('test', '//...'));
    expect(ran(again)).toEqual({});
    expect(again.output.match(/\(cached\) PASSED/g)).toHaveLength(12);
  });

  it('runs only the cone of a source that has changed', async () => {
    await succeeds(...remote('build', '//...'));
    await appendFile(join(workspace, 'libs/l51/counting.cc'), '\nint added_to_the_library() { return 51; }\n');
    const changed = await succeeds(...remote('build', '//...'));
    // The compilation, the archive, the application that links it, and the report that the application prints.
    expect(ran(changed)).toEqual({ remote: 4 });
  });

  it('downloads nothing but what is asked for with --remote_download_minimal', async () => {
    await succeeds('clean');
    await succeeds(...remote('build', '--remote_download_minimal', '//...'));
    await expect(stat(bazel.binary('application'))).rejects.toMatchObject({ code: 'ENOENT' });
    const tested = await succeeds(...remote('test', '--remote_download_minimal', '--nocache_test_results', '//...'));
    expect(tested.output).toContain('12 tests pass');
  });
});

describe('a build that fails on the grid', () => {
  it('shows what the compiler said and exits with 1', async () => {
    const result = await bazel.run(...remote('build', '//scenarios:broken'));
    expect(result.output).toContain("error: 'this_name_is_not_declared' was not declared in this scope");
    expect(result.exitCode).toBe(1);
  });

  it('shows the output of a failing test and exits with 3', async () => {
    const result = await bazel.run(...remote('test', '--test_output=errors', '//scenarios:failing'));
    expect(result.output).toContain('the failing test has its reasons');
    expect(result.output).toContain('//scenarios:failing');
    expect(result.exitCode).toBe(3);
  });

  it('reports a test that does not end as a timeout, with what it had printed', async () => {
    const result = await bazel.run(
      ...remote('test', '--test_timeout=3', '--test_output=errors', '//scenarios:endless'),
    );
    expect(result.output).toMatch(/\/\/scenarios:endless\s+TIMEOUT/);
    expect(result.output).toContain('the endless test has begun');
    expect(result.exitCode).toBe(3);
  });
});

describe('a build that is interrupted', () => {
  it('leaves no process and no running operation behind', async () => {
    const client = new WireClient([`127.0.0.1:${grid.port}`]);
    const unfinished = async () =>
      (
        await client.unary(OperationsService.listOperations, ListOperationsRequest.create({ name: '', pageSize: 100 }))
      ).operations.filter((operation) => !operation.done);
    try {
      const run = bazel.start(...remote('build', '//scenarios:slow'));
      await expect.poll(() => processesWithArgument(SLEEP_SECONDS), { timeout: 60_000 }).toHaveLength(2);
      expect(await unfinished()).not.toHaveLength(0);
      run.interrupt();
      expect((await run.ended).exitCode).toBe(8);
      await expect.poll(() => processesWithArgument(SLEEP_SECONDS), { timeout: GONE_WITHIN_MS }).toHaveLength(0);
      await expect.poll(unfinished, { timeout: GONE_WITHIN_MS }).toHaveLength(0);
    } finally {
      client.close();
    }
  });
});

describe('a grid that loses blobs behind the back of Bazel', () => {
  /** Stops the grid, removes part of its data, and starts it on the same port. */
  async function lose(...folders: readonly string[]): Promise<void> {
    grid.kill('SIGINT');
    await grid.ended;
    for (const folder of folders) await rm(join(dataDirectory, folder), { recursive: true });
    grid = await startUp({ launcher, dataDirectory, port: grid.port });
  }

  it('keeps its cache through a restart', async () => {
    await succeeds(...remote('build', '//...'));
    await succeeds('clean');
    await lose();
    expect(ran(await succeeds(...remote('build', '//...')))).toEqual({});
  });

  it('runs again what the action cache knows but whose outputs are lost', async () => {
    await succeeds(...remote('build', '//...'));
    await lose('blobs', 'worker');
    await succeeds('clean');
    const again = await succeeds(...remote('build', '//...'));
    expect(again.processes['remote']).toBeGreaterThanOrEqual(200);
  });

  it('takes again what it has lost while Bazel has it', async () => {
    await succeeds(...remote('build', '//...'));
    await lose('blobs', 'worker', 'action-cache');
    await appendFile(join(workspace, 'libs/l51/counting.cc'), '\nint added_after_the_loss() { return 51; }\n');
    expect(ran(await succeeds(...remote('build', '//...')))).toEqual({ remote: 4 });
  });

  it('says what is missing when nobody has it, and recovers after bazel clean', async () => {
    await succeeds('clean');
    await succeeds(...remote('build', '--remote_download_minimal', '//...'));
    await lose('blobs', 'worker', 'action-cache');
    await appendFile(join(workspace, 'libs/l51/counting.cc'), '\nint added_last() { return 51; }\n');
    const broken = await bazel.run(...remote('build', '--remote_download_minimal', '//...'));
    expect(broken.exitCode).not.toBe(0);
    // What Bazel 4.2.3 says when it is asked for an output that it left in the grid.
    expect(broken.output).toMatch(/constants\.h \(No such file or directory\)|Missing digest/);
    await succeeds('clean');
    await succeeds(...remote('build', '//...'));
  });
});
