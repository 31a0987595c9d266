import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { commandLine } from '../support/command-line.ts';
import { runConformance } from '../support/conformance-run.ts';
import { type RunningGrid, startUp } from '../support/program.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** What the tables of bad input of the conformance suite leave behind, counted on a grid of its own that does nothing else. */

let folder: string;
let grid: RunningGrid;

beforeAll(async () => {
  folder = await temporaryFolder('left-behind');
  grid = await startUp({ dataDirectory: folder, args: ['--workers', '0'] });
});

afterAll(async () => {
  grid?.kill('SIGTERM');
  await grid?.ended;
  await removeFolder(folder);
});

/** What a table may not add to: operations (with the jobs behind them), bot sessions, calls, and files of uploads. */
async function counts(): Promise<Record<string, number>> {
  const json = async (...args: string[]) =>
    ((await commandLine(`127.0.0.1:${grid.port}`, ...args, '--json')).json() as unknown[]).length;
  const consolePort = /http:\/\/127\.0\.0\.1:(\d+)/.exec(grid.stdout())?.[1];
  const metrics = await fetch(`http://127.0.0.1:${consolePort}/metrics`, { headers: { Connection: 'close' } });
  const calls = /^warren_calls_running (\d+)$/m.exec(await metrics.text())?.[1];
  return {
    operations: await json('operation', 'list', '--all'),
    'unfinished operations': await json('operation', 'list'),
    'bot sessions': await json('bots', 'list', '--all-instances'),
    'running calls': Number(calls),
    'files of uploads': (await readdir(join(folder, 'blobs/tmp'))).length,
  };
}

/** Cases that make what they do not take away: a bot session, an operation or an upload that its client may go on with. */
const GOOD_INPUT = ['a client that opens and drops', 'a header of metadata', 'what was refused is no operation'];

describe('bad input leaves nothing behind', () => {
  it.each(['bad-input', 'bad-input-execution', 'bad-input-action-results'])('of the table %s', async (table) => {
    const before = await counts();
    expect(await runConformance([`127.0.0.1:${grid.port}`], [table], GOOD_INPUT)).toBe('');
    await expect.poll(counts, { timeout: 20_000 }).toEqual(before);
  });
});
