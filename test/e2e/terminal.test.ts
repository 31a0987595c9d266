import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commandLine, startCommandLine } from '../support/command-line.ts';
import { processesWithArgument } from '../support/process-table.ts';
import { Terminal } from '../support/terminal.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** What a person sees of Warren on a terminal, also on one that is narrow and changes its size. */

/** How long what was done may take to show, on a machine that is busy. */
const PATIENCE = { timeout: 60_000 };

const LAUNCHER = join(import.meta.dirname, '../../warren');

let folder: string;
const terminals: Terminal[] = [];

beforeEach(async () => {
  folder = await temporaryFolder('terminal');
});

afterEach(async () => {
  for (const each of terminals.splice(0)) await each.close();
  await removeFolder(folder);
});

async function open(commandLine: string, columns: number): Promise<Terminal> {
  const terminal = await Terminal.start(commandLine, { columns, rows: 50 });
  terminals.push(terminal);
  return terminal;
}

/** The two live lines, which are the last ones in sight, each once. */
async function liveLines(terminal: Terminal): Promise<string[]> {
  const rows = await terminal.rows();
  const live = rows.filter((row) => row.startsWith('actions: ') || row.startsWith('cache: '));
  expect(live).toEqual(rows.slice(-2));
  return live;
}

describe('on a terminal', () => {
  it('warren up shows what runs in two lines that stay whole at any width, and warren exec what it prints', async () => {
    const up = await open(`'${LAUNCHER}' up --port 0 --no-console --workers 2 --data-dir '${folder}'`, 100);
    await expect.poll(() => up.text(), PATIENCE).toMatch(/^cache: 0 hits of 0; storage: 0 B of/m);
    const address = /Warren is up at grpc:\/\/(\S+)/.exec(await up.text())?.[1] ?? '';
    expect(await liveLines(up)).toEqual(['actions: 0 running, 0 queued, 0 done', expect.any(String)]);

    const mark = `3600.${randomInt(1_000_000, 9_999_999)}`;
    const sleeping = startCommandLine(address, 'exec', '--', 'sleep', mark);
    await expect.poll(() => processesWithArgument(mark), PATIENCE).not.toEqual([]);
    await expect.poll(() => up.text(), PATIENCE).toContain('actions: 1 running, 0 queued, 0 done');

    // Each action that ends changes the lines, which are then drawn on a terminal of another width.
    for (const [index, columns] of [30, 120, 20].entries()) {
      await up.resize(columns, 50);
      await commandLine(address, 'exec', '--no-cache', '--', 'true');
      const done = `actions: 1 running, 0 queued, ${index + 1} done`;
      const shown = columns - 3 < done.length ? `${done.slice(0, columns - 4)}…` : done;
      await expect.poll(async () => (await up.rows()).at(-2), PATIENCE).toBe(shown);
      await expect
        .poll(async () => (await commandLine(address, 'operation', 'list', '--json')).json(), PATIENCE)
        .toHaveLength(1);
      await liveLines(up);
    }

    const exec = await open(`'${LAUNCHER}' exec --remote grpc://${address} -- sh -c 'echo one; sleep 1; echo two'`, 40);
    await expect.poll(() => exec.text(), PATIENCE).toBe('one\ntwo\nended with 0');

    await up.resize(100, 50);
    await up.press('C-c');
    const stopping = 'stopping: waiting up to 30 s for 1 running actions; Ctrl-C ends them';
    await expect.poll(async () => (await up.rows()).at(-1), PATIENCE).toBe(stopping);
    expect(await up.text()).not.toMatch(/^(actions|cache): /m);
    await up.press('C-c');
    await expect.poll(() => up.text(), PATIENCE).toMatch(/ended with 130$/);
    sleeping.interrupt();
    await sleeping.outcome;
  });
});
