import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DIGEST_FUNCTIONS } from '../../src/domain/digest-function.ts';
import { commandLine } from '../support/command-line.ts';
import { type Grid, startGrid } from '../support/grid.ts';

/** Whole builds by each digest function: client, storage, action cache, server and the real worker of `warren up`. */
let grid: Grid;
let folder: string;

beforeAll(async () => {
  grid = await startGrid({ workers: 1 });
  folder = await mkdtemp(join(tmpdir(), 'warren-digests-'));
});

afterAll(async () => {
  await grid?.stop();
  await rm(folder, { recursive: true, force: true });
});

it.each(DIGEST_FUNCTIONS)(
  '$name: a command is run with its inputs, gives its outputs, and is cached',
  async ({ name }) => {
    const text = `${name} ${randomUUID()} ${'x'.repeat(5_000)}`;
    const input = join(folder, `input-${name}`);
    const outputs = join(folder, `outputs-${name}`);
    await writeFile(input, text);
    const run = (...flags: readonly string[]) =>
      commandLine(
        grid.address,
        'exec',
        '--digest-function',
        name.toLowerCase(),
        ...flags,
        '--input',
        `${input}=in`,
        '--output',
        'made',
        '--output-dir',
        outputs,
        '--',
        'sh',
        '-c',
        'mkdir made && cp in made/out && cat in',
      );
    const first = await run();
    expect(first).toMatchObject({ exitCode: 0, stdout: text });
    expect(await readFile(join(outputs, 'made/out'), 'utf8')).toBe(text);
    const again = await run('--json');
    expect(again.json()).toMatchObject({ cached: true });
  },
);
