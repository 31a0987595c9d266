import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestKey } from '../../domain/digest.ts';
import { SHA256 } from '../../domain/digest-function.ts';
import { Action, Command } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { decodeDirectory } from '../../wire/directory.ts';
import { type CommandRequest, type PreparedAction, prepareAction } from './action-of-command.ts';

const signal = new AbortController().signal;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-inputs-'));
  await mkdir(join(folder, 'src/deep'), { recursive: true });
  await writeFile(join(folder, 'src/a'), 'a');
  await writeFile(join(folder, 'src/deep/tool'), 'tool');
  await chmod(join(folder, 'src/deep/tool'), 0o755);
  await symlink('a', join(folder, 'src/link'));
  await writeFile(join(folder, 'other'), 'other');
});
afterEach(() => rm(folder, { recursive: true }));

function prepare(request: Partial<CommandRequest>): Promise<PreparedAction> {
  const empty: CommandRequest = {
    arguments: ['true'],
    inputs: [],
    outputs: [],
    platform: [],
    environment: [],
    workingDirectory: '',
    timeoutMilliseconds: undefined,
  };
  return prepareAction({ ...empty, ...request }, folder, signal);
}

function bytes({ blobs }: PreparedAction, key: string): Uint8Array {
  const blob = blobs.get(key);
  if (blob === undefined || !('data' in blob)) throw new Error(`no blob ${key}`);
  return blob.data;
}

/** Paths below the input root, with what they are. */
function listing(prepared: PreparedAction): string[] {
  const visit = (key: string, at: string): string[] => {
    const directory = decodeDirectory(bytes(prepared, key), SHA256, 'directory');
    return [
      ...directory.files.map(({ name, isExecutable }) => `${at}${name}${isExecutable ? '*' : ''}`),
      ...directory.symlinks.map(({ name, target }) => `${at}${name} -> ${target}`),
      ...directory.directories.flatMap(({ name, digest }) => [
        `${at}${name}/`,
        ...visit(digestKey(digest), `${at}${name}/`),
      ]),
    ];
  };
  return visit(digestKey(prepared.tree.rootDigest), '').sort();
}

test('inputs lie where they lie below the folder', async () => {
  expect(listing(await prepare({ inputs: ['src/deep', 'other'] }))).toEqual([
    'other',
    'src/',
    'src/deep/',
    'src/deep/tool*',
  ]);
});

test('inputs go where they are told to', async () => {
  expect(listing(await prepare({ inputs: ['src=.', 'other=x/y'] }))).toEqual([
    'a',
    'deep/',
    'deep/tool*',
    'link -> a',
    'x/',
    'x/y',
  ]);
});

test('an input from elsewhere goes by its name', async () => {
  const elsewhere = await mkdtemp(join(tmpdir(), 'warren-elsewhere-'));
  await writeFile(join(elsewhere, 'f'), 'f');
  expect(listing(await prepare({ inputs: [join(elsewhere, 'f')] }))).toEqual(['f']);
  await rm(elsewhere, { recursive: true });
});

test('the working directory is there, though it be empty', async () => {
  expect(listing(await prepare({ workingDirectory: 'w/d' }))).toEqual(['w/', 'w/d/']);
});

test('two inputs in one place are refused', async () => {
  await expect(prepare({ inputs: ['src/a=x', 'other=x'] })).rejects.toThrow("'x', is taken already");
  await expect(prepare({ inputs: ['other=src', 'src'] })).rejects.toThrow('is taken by another input');
});

test.each([{ inputs: ['other=../x'] }, { inputs: ['other=/x'] }, { outputs: ['../x'] }, { workingDirectory: '..' }])(
  '%j leads out of the input root and is refused',
  async (request) => {
    await expect(prepare(request)).rejects.toThrow('leads out of the input root');
  },
);

test('an input that is not there is refused by name', async () => {
  await expect(prepare({ inputs: ['absent'] })).rejects.toThrow('absent does not exist');
});

test('equal requests give equal actions, in whatever order they are written', async () => {
  const first = await prepare({
    inputs: ['src', 'other'],
    outputs: ['b', 'a', 'b/'],
    platform: [
      { name: 'x', value: '2' },
      { name: 'x', value: '1' },
    ],
    environment: [
      { name: 'B', value: '1' },
      { name: 'A', value: '2' },
    ],
  });
  const second = await prepare({
    inputs: ['other', 'src'],
    outputs: ['a', 'b'],
    platform: [
      { name: 'x', value: '1' },
      { name: 'x', value: '2' },
    ],
    environment: [
      { name: 'A', value: '2' },
      { name: 'B', value: '1' },
    ],
  });
  expect(second.actionDigest).toEqual(first.actionDigest);
});

test('the action says what was asked for', async () => {
  const prepared = await prepare({
    arguments: ['make', 'x'],
    outputs: ['out'],
    platform: [{ name: 'OSFamily', value: 'linux' }],
    timeoutMilliseconds: 1_500,
    workingDirectory: 'src',
    inputs: ['src'],
  });
  const action = Action.decode(bytes(prepared, digestKey(prepared.actionDigest)));
  const command = Command.decode(
    bytes(prepared, `${action.commandDigest?.hash ?? ''}/${action.commandDigest?.sizeBytes ?? ''}`),
  );
  expect(action).toMatchObject({ doNotCache: false, timeout: { seconds: 1n, nanos: 500_000_000 } });
  expect(command).toMatchObject({
    arguments: ['make', 'x'],
    outputPaths: ['out'],
    workingDirectory: 'src',
    platform: { properties: [{ name: 'OSFamily', value: 'linux' }] },
  });
});
