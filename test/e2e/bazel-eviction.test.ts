import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StorageService } from '../../src/proto/warren/v1/storage.ts';
import { Bazel, type BazelResult } from '../support/bazel/bazel.ts';
import { writeWorkspace } from '../support/bazel/workspace.ts';
import { commandLine } from '../support/command-line.ts';
import { folderContents } from '../support/folder-contents.ts';
import { type RunningGrid, startUp } from '../support/program.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/** Longer than a small action waits and runs, and no longer than the test can wait for. */
const MINIMUM_AGE_SECONDS = 20;

let workspace: string;
let dataDirectory: string;
let bazel: Bazel;
let grid: RunningGrid;
let client: WireClient;
/** How many blobs and results were evicted while the builds ran. */
let evicted = 0;

beforeAll(async () => {
  workspace = await temporaryFolder('workspace');
  dataDirectory = await temporaryFolder('data');
  await writeWorkspace(workspace, { libraries: 8, tests: 2 });
  bazel = await Bazel.create(workspace);
  const config = join(dataDirectory, 'warren.yaml');
  const limits = `{ minimumAgeSeconds: ${MINIMUM_AGE_SECONDS} }`;
  await writeFile(config, `blobs: ${limits}\nactionCache: ${limits}\n`);
  grid = await startUp({ dataDirectory, args: ['--config', config, '--max-size', '256M'] });
  client = new WireClient([`127.0.0.1:${grid.port}`]);
});

afterAll(async () => {
  client?.close();
  await bazel?.[Symbol.asyncDispose]();
  grid?.kill('SIGTERM');
  await grid?.ended;
  await removeFolder(workspace);
  await removeFolder(dataDirectory);
});

/** Evicts all that may be evicted. */
async function evict(): Promise<void> {
  const { stdout } = await commandLine(`127.0.0.1:${grid.port}`, 'clean', '--to', '0', '--json');
  for (const { entries } of JSON.parse(stdout) as Array<{ readonly entries: number }>) evicted += entries;
}

async function entries(): Promise<number> {
  const { stores } = await client.unary(StorageService.listStores, {});
  return stores.reduce((sum, store) => sum + Number(store.entries), 0);
}

/** Builds everything while all that may be evicted is, again and again. */
async function buildUnderEviction(): Promise<BazelResult> {
  const run = bazel.start(
    'build',
    `--remote_executor=${grid.endpoint}`,
    '--jobs=8',
    '--noshow_progress',
    '--color=no',
    '--verbose_failures',
    '//...',
  );
  let result: BazelResult | undefined;
  while (result === undefined) {
    await evict();
    result = await Promise.race([
      run.ended,
      new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 250)),
    ]);
  }
  if (result.exitCode !== 0) throw new Error(`bazel exited with ${result.exitCode}:\n${result.output}${grid.stderr()}`);
  return result;
}

async function evictEverything(): Promise<void> {
  await expect
    .poll(
      async () => {
        await evict();
        return entries();
      },
      { timeout: 4 * MINIMUM_AGE_SECONDS * 1_000, interval: 1_000 },
    )
    .toBe(0);
}

const outputs = () => folderContents(join(workspace, 'bazel-bin'));

describe('a Bazel build whose cache is evicted', () => {
  it('during a build and between builds gives what it should, and runs again what is gone', async () => {
    const cold = await buildUnderEviction();
    expect(cold.processes['remote']).toBeGreaterThan(30);

    await evictEverything();
    expect(evicted).toBeGreaterThan(100);
    await appendFile(join(workspace, 'libs/l07/counting.cc'), '\nint added_to_the_library() { return 7; }\n');
    const changed = await buildUnderEviction();
    expect(changed.processes['remote']).toBeLessThan(10);
    const built = await outputs();

    await bazel.run('clean');
    const again = await buildUnderEviction();
    expect(again.processes['remote']).toBeGreaterThan((cold.processes['remote'] ?? 0) - 10);
    expect(await outputs()).toEqual(built);
  });
});
