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
 * What a grid adds to an action does not depend on how long the action runs. Sources that compile in a quarter of a second
 * show it at its greatest; products have few such.
 */
export const bazel: Scenario = {
  name: 'bazel',
  what: 'a C++ workspace of some 230 actions of 0.15 s: Bazel alone, a cold grid, a warm cache',
  run: (options) => measureWorkspace('bazel', 'light', options),
};

/** The same with sources of the usual weight. */
export const bazelUsual: Scenario = {
  name: 'bazel-usual',
  what: 'the same with sources that take a compiler about as long as those of products do',
  run: (options) => measureWorkspace('bazel, usual sources', 'usual', options),
};

async function measureWorkspace(title: string, weight: SourceWeight, options: BenchOptions): Promise<Row[]> {
  const workspace = await temporaryFolder('bench-workspace');
  await writeWorkspace(workspace, { weight, ...(options.scale < 1 ? { libraries: 6, tests: 2 } : {}) });
  const client = await Bazel.create(workspace);
  const slots = availableParallelism();
  const seconds = new Map<string, number[]>();
  const note = (name: string, value: number) => seconds.set(name, [...(seconds.get(name) ?? []), value]);
  try {
    // Starts the Java machine, finds the compiler and reads the compiler's headers into the page cache.
    await build(client, ['--spawn_strategy=local', `--jobs=${slots}`]);
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
