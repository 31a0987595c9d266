import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { Bazel, type BazelResult } from '../../test/support/bazel/bazel.ts';
import type { SourceWeight } from '../../test/support/bazel/library-sources.ts';
import { writeWorkspace } from '../../test/support/bazel/workspace.ts';
import { type Grid, startGrid } from '../../test/support/grid.ts';
import { removeFolder, temporaryFolder } from '../../test/support/throwaway-process.ts';
import { type BenchOptions, type Goal, median, type Row, type Scenario } from '../support/scenario.ts';

const COLD_AT_MOST = 1.25;
const CACHED_AT_MOST = 0.08;

/**
 * The same C++ workspace built by Bazel itself, by a grid that knows nothing, and from the cache of that grid, one after
 * the other in each round, so that a busy machine slows all three alike.
 *
 * Its sources take a compiler half a second on average, between those of products that Bazel's users know.
 */
export const bazel: Scenario = {
  name: 'bazel',
  what: 'a C++ workspace of some 230 actions, a compilation takes 0.5 s on average: Bazel alone, a cold grid, a warm cache',
  run: (options) => measureWorkspace('bazel', 'usual', options),
};

/**
 * The same with sources that compile in half the time. What a grid adds to an action does not depend on how long the action
 * runs: this shows it at its greatest.
 */
export const bazelLight: Scenario = {
  name: 'bazel-light',
  what: 'the same with sources that compile in a quarter of a second, less than products have',
  run: (options) => measureWorkspace('bazel, light sources', 'light', options),
};

async function measureWorkspace(title: string, weight: SourceWeight, options: BenchOptions): Promise<Row[]> {
  const workspace = await temporaryFolder('bench-workspace');
  await writeWorkspace(workspace, { weight, ...(options.scale < 1 ? { libraries: 6, tests: 2 } : {}) });
  const client = await Bazel.create(workspace);
  const slots = availableParallelism();
  const seconds = new Map<string, number[]>();
  const note = (name: string, value: number) => seconds.set(name, [...(seconds.get(name) ?? []), value]);
  try {
    await warmUp(client, slots);
    for (let round = 0; round < options.rounds; round += 1) {
      note('Bazel alone', (await build(client, ['--spawn_strategy=local', `--jobs=${slots}`])).elapsedSeconds);
      for (const jobs of [slots, 4 * slots]) {
        const grid = await startWorkingGrid(slots, options.profileFolder);
        try {
          const flags = [`--remote_executor=grpc://${grid.address}`, `--jobs=${jobs}`];
          note(`cold grid, --jobs=${jobs}`, (await build(client, flags)).elapsedSeconds);
          note(`warm cache, --jobs=${jobs}`, (await build(client, flags)).elapsedSeconds);
        } finally {
          await grid.stop();
        }
      }
    }
  } finally {
    await client[Symbol.asyncDispose]();
    await removeFolder(workspace);
  }
  const local = seconds.get('Bazel alone') ?? [];
  return [...seconds].flatMap(([name, values]): Row[] => {
    const absolute: Row = row(`${title}: ${name}`, 's', values);
    if (name === 'Bazel alone') return [absolute];
    const ratios = values.map((value, round) => value / (local[round] ?? Number.NaN));
    return [absolute, { ...row(`${title}: ${name}`, 'of Bazel alone', ratios), goal: goalOf(name) }];
  });
}

/**
 * Starts the Java machine, finds the compiler, reads the compiler's headers into the page cache, and has Bazel run through
 * its own code for local and for remote execution, with a grid that is thrown away.
 */
async function warmUp(client: Bazel, slots: number): Promise<void> {
  await build(client, ['--spawn_strategy=local', `--jobs=${slots}`]);
  const grid = await startWorkingGrid(slots, undefined);
  try {
    await build(client, [`--remote_executor=grpc://${grid.address}`, `--jobs=${slots}`]);
  } finally {
    await grid.stop();
  }
}

function row(name: string, unit: string, values: readonly number[]): Row {
  return { name, unit, value: median(values), spread: [Math.min(...values), Math.max(...values)] };
}

function goalOf(name: string): Goal {
  return { of: 'value', atMost: name.startsWith('cold') ? COLD_AT_MOST : CACHED_AT_MOST };
}

/** A build of everything after `bazel clean`, and with nothing left to write to disk from before. */
async function build(client: Bazel, flags: readonly string[]): Promise<BazelResult> {
  await client.run('clean');
  spawnSync('sync');
  const result = await client.run('build', '--noshow_progress', ...flags, '//...');
  if (result.exitCode !== 0) throw new Error(result.output);
  return result;
}

function startWorkingGrid(workers: number, profileFolder: string | undefined): Promise<Grid> {
  const nodeArgs = profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
  return startGrid({ compiled: true, workers, nodeArgs });
}
