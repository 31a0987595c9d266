import { beforeEach, describe, expect, test } from 'vitest';
import { MapActionCacheStore } from '../../test/support/map-action-cache-store.ts';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { WriteOnceActionCacheStore } from '../adapters/action-cache/write-once-action-cache-store.ts';
import { type Digest, digestKey, digestOf, missingBlobSubject } from '../domain/digest.ts';
import type { Directory } from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { StatusError } from '../domain/status-error.ts';
import { silentLogger } from '../lib/log.ts';
import { Action, ActionResult, Command } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../wire/digest.ts';
import { encodeDirectory } from '../wire/directory.ts';
import { encodeTree } from '../wire/tree.ts';
import { CompletenessCheckingActionResults } from './action-results.ts';

const { signal } = new AbortController();
const action = digestOf(Buffer.from('action'));
const absent = digestOf(Buffer.from('absent'));

let blobs: MapBlobStore;
let store: MapActionCacheStore;
let results: CompletenessCheckingActionResults;

beforeEach(() => {
  blobs = new MapBlobStore();
  store = new MapActionCacheStore();
  results = new CompletenessCheckingActionResults(store, blobs, silentLogger, { maxTreeSizeBytes: 10_000 });
});

const empty = Buffer.alloc(0);
const outputFile = (path: string, digest: Digest | undefined, contents: Buffer = empty) => ({
  path,
  digest: digest && digestToWire(digest),
  isExecutable: false,
  contents,
});
const outputDirectory = (path: string, tree: Digest | undefined, root?: Digest) => ({
  path,
  treeDigest: tree && digestToWire(tree),
  rootDirectoryDigest: root && digestToWire(root),
  isTopologicallySorted: false,
});
const result = (parts: Partial<ActionResult>): ActionResult => ({ ...ActionResult.decode(empty), ...parts });
const directoryOf = (parts: Partial<Directory>): Directory => ({ files: [], directories: [], symlinks: [], ...parts });
const fileNode = (name: string, digest: Digest) => ({ name, digest, isExecutable: false });

/** A directory with a file, below a root with a file: as a Tree, and as blobs of their own where wanted. */
function storeTree(options: { separately?: boolean } = {}) {
  const inner = blobs.add('inner file');
  const outer = blobs.add('outer file');
  const child = encodeDirectory(directoryOf({ files: [fileNode('inner', inner)] }));
  const childDigest = digestOf(child);
  const root = encodeDirectory(
    directoryOf({ files: [fileNode('outer', outer)], directories: [{ name: 'child', digest: childDigest }] }),
  );
  const rootDigest = digestOf(root);
  if (options.separately) {
    blobs.add(root);
    blobs.add(child);
  }
  return { inner, outer, childDigest, rootDigest, tree: blobs.add(encodeTree(root, [child])), root, child };
}

async function failureOf(promise: Promise<unknown>): Promise<StatusError> {
  return promise.then(
    () => expect.fail('no error was thrown'),
    (thrown: unknown) => thrown as StatusError,
  );
}

function missingOf(error: StatusError): readonly string[] {
  expect(error.code).toBe(StatusCode.FAILED_PRECONDITION);
  return error.details.flatMap((detail) =>
    detail.kind === 'precondition-failure' ? detail.violations.map((each) => `${each.type} ${each.subject}`) : [],
  );
}

describe('a cache that keeps the first result', () => {
  const encode = (exitCode: number, file: Digest) => result({ exitCode, outputFiles: [outputFile('out', file)] });
  const once = () => new CompletenessCheckingActionResults(new WriteOnceActionCacheStore(store), blobs, silentLogger);

  test('refuses another one while the first is complete', async () => {
    await once().put('main', action, encode(0, blobs.add('file')), signal);
    const error = await failureOf(once().put('main', action, encode(1, blobs.add('other')), signal));
    expect(error.code).toBe(StatusCode.ALREADY_EXISTS);
    expect((await once().get('main', action, signal))?.exitCode).toBe(0);
  });

  test('takes another one once the first is not', async () => {
    const file = blobs.add('file');
    await once().put('main', action, encode(0, file), signal);
    await blobs.delete(file);
    await once().put('main', action, encode(1, blobs.add('other')), signal);
    expect((await once().get('main', action, signal))?.exitCode).toBe(1);
  });
});

describe('a result with paths above the working directory', () => {
  const putAs = async (workingDirectory: string, path: string) => {
    const command = blobs.add(Command.encode(Command.fromPartial({ arguments: ['x'], workingDirectory })).finish());
    const ofCommand = blobs.add(Action.encode(Action.fromPartial({ commandDigest: digestToWire(command) })).finish());
    await results.put('main', ofCommand, result({ outputFiles: [outputFile(path, blobs.add('file'))] }), signal);
    return (await results.get('main', ofCommand, signal))?.outputFiles[0]?.path;
  };

  test('is kept with its own paths as long as they lie in the input root', async () => {
    expect(await putAs('a/b', '../../c')).toBe('../../c');
    expect((await failureOf(putAs('a/b', '../../../c'))).message).toContain('leads out of the input root');
    expect((await failureOf(putAs('', '../c'))).message).toContain('output_files[0].path');
  });

  test.each(['./././.', 'a/../../..', 'a//b', '/a/b'])(
    'is refused where its Command has the working directory %s',
    async (bad) => {
      expect((await failureOf(putAs(bad, '../c'))).message).toContain('leads out of the input root');
    },
  );

  test('is refused where its action or Command is not stored', async () => {
    const put = result({ outputFiles: [outputFile('../c', blobs.add('file'))] });
    const error = await failureOf(results.put('main', action, put, signal));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
  });
});

describe('a result that is complete', () => {
  test('comes back as it was put', async () => {
    const file = blobs.add('file');
    const put = result({
      exitCode: 3,
      outputFiles: [outputFile('bin/out', file)],
      stdoutDigest: digestToWire(blobs.add('out')),
      stderrDigest: digestToWire(blobs.add('')),
    });
    await results.put('main', action, put, signal);
    expect(await results.get('main', action, signal)).toEqual(put);
  });

  test('belongs to its instance and its action', async () => {
    await results.put('main', action, result({ exitCode: 1 }), signal);
    expect(await results.get('other', action, signal)).toBeUndefined();
    expect(await results.get('main', absent, signal)).toBeUndefined();
  });

  test('is looked up with one call when it has no directories, with two when it has', async () => {
    const { tree } = storeTree();
    await results.put('main', action, result({ outputFiles: [outputFile('a', blobs.add('a'))] }), signal);
    blobs.lookups.length = 0;
    await results.get('main', action, signal);
    expect(blobs.lookups).toEqual([1]);
    await results.put('main', action, result({ outputDirectories: [outputDirectory('d', tree)] }), signal);
    blobs.lookups.length = 0;
    await results.get('main', action, signal);
    expect(blobs.lookups).toEqual([1, 2]);
  });

  test('whose Tree was read before is not read again, but is still looked up', async () => {
    const { tree, inner } = storeTree();
    await results.put('main', action, result({ outputDirectories: [outputDirectory('d', tree)] }), signal);
    blobs.reads.length = 0;
    expect(await results.get('main', action, signal)).toBeDefined();
    expect(blobs.reads).toEqual([]);
    blobs.remove(inner);
    expect(await results.get('main', action, signal)).toBeUndefined();
  });

  test('may be empty', async () => {
    await results.put('main', action, result({}), signal);
    expect(await results.get('main', action, signal)).toEqual(result({}));
  });
});

describe('a result of which something is not stored', () => {
  const cases: Array<[string, (parts: ReturnType<typeof storeTree>) => [Partial<ActionResult>, Digest]]> = [
    ['output file', () => [{ outputFiles: [outputFile('a', absent)] }, absent]],
    ['standard output', () => [{ stdoutDigest: digestToWire(absent) }, absent]],
    ['standard error', () => [{ stderrDigest: digestToWire(absent) }, absent]],
    ['Tree', () => [{ outputDirectories: [outputDirectory('d', absent)] }, absent]],
    ['file of the root of a Tree', ({ tree, outer }) => [{ outputDirectories: [outputDirectory('d', tree)] }, outer]],
    ['file of a child of a Tree', ({ tree, inner }) => [{ outputDirectories: [outputDirectory('d', tree)] }, inner]],
    [
      'root directory',
      ({ rootDigest }) => [{ outputDirectories: [outputDirectory('d', undefined, rootDigest)] }, rootDigest],
    ],
    [
      'child directory',
      ({ rootDigest, childDigest }) => [
        { outputDirectories: [outputDirectory('d', undefined, rootDigest)] },
        childDigest,
      ],
    ],
    [
      'file of a child directory',
      ({ rootDigest, inner }) => [{ outputDirectories: [outputDirectory('d', undefined, rootDigest)] }, inner],
    ],
    [
      'child directory beside a Tree',
      ({ tree, rootDigest, childDigest }) => [
        { outputDirectories: [outputDirectory('d', tree, rootDigest)] },
        childDigest,
      ],
    ],
  ];

  test.each(cases)('%s: is a miss, and is refused with its digest', async (_, make) => {
    const [parts, lost] = make(storeTree({ separately: true }));
    const complete = result(parts);
    await store.put('main', action, ActionResult.encode(complete).finish());
    // Once with everything there, so that what was read of directories is remembered.
    const stored = blobs.blobs.get(digestKey(lost)) ?? Buffer.from('absent');
    blobs.blobs.set(digestKey(lost), stored);
    await results.get('main', action, signal).catch(() => {});
    blobs.remove(lost);
    expect(await results.get('main', action, signal)).toBeUndefined();
    const error = await failureOf(results.put('main', action, complete, signal));
    expect(missingOf(error)).toEqual([`MISSING ${missingBlobSubject(lost)}`]);
    const fresh = new CompletenessCheckingActionResults(store, blobs, silentLogger);
    expect(await fresh.get('main', action, signal)).toBeUndefined();
  });

  test('names every blob at once', async () => {
    const { tree, inner, outer } = storeTree();
    blobs.remove(inner);
    blobs.remove(outer);
    const parts = { outputFiles: [outputFile('a', absent)], outputDirectories: [outputDirectory('d', tree)] };
    const error = await failureOf(results.put('main', action, result(parts), signal));
    expect(missingOf(error)).toEqual([absent, outer, inner].map((each) => `MISSING ${missingBlobSubject(each)}`));
    expect(store.entries.size).toBe(0);
  });

  test('names a hundred at most, and tells how many there are', async () => {
    const outputFiles = Array.from({ length: 250 }, (_, i) => outputFile(`f${i}`, digestOf(Buffer.from(`lost ${i}`))));
    const error = await failureOf(results.put('main', action, result({ outputFiles }), signal));
    expect(missingOf(error)).toHaveLength(100);
    expect(error.message).toContain('and 150 more');
  });
});

describe('a Tree or Directory that is broken', () => {
  test.each<[string, () => Digest]>([
    ['garbage', () => blobs.add(Buffer.from([0x0a, 0xff]))],
    ['a child that is named but not there', () => blobs.add(encodeTree(storeTree().root, []))],
    [
      'a name that leads out',
      () => blobs.add(encodeTree(encodeDirectory(directoryOf({ files: [fileNode('../x', blobs.add('x'))] })), [])),
    ],
    ['more bytes than are read', () => blobs.add(Buffer.alloc(10_001))],
  ])('%s: is a miss, and is refused', async (_, make) => {
    const broken = result({ outputDirectories: [outputDirectory('d', make())] });
    await store.put('main', action, ActionResult.encode(broken).finish());
    expect(await results.get('main', action, signal)).toBeUndefined();
    const error = await failureOf(results.put('main', action, broken, signal));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain('output_directories[0].tree_digest');
  });

  test('a root that differs from the one of the Tree is refused', async () => {
    const { tree, childDigest } = storeTree({ separately: true });
    const broken = result({ outputDirectories: [outputDirectory('d', tree, childDigest)] });
    const error = await failureOf(results.put('main', action, broken, signal));
    expect(error.message).toContain('root_directory_digest');
  });

  test('directories that are deeper than allowed are refused', async () => {
    let below = blobs.add(encodeDirectory(directoryOf({ files: [fileNode('a', blobs.add('a'))] })));
    for (let i = 0; i < 5; i++) {
      below = blobs.add(encodeDirectory(directoryOf({ directories: [{ name: 'd', digest: below }] })));
    }
    const shallow = new CompletenessCheckingActionResults(store, blobs, silentLogger, {
      treeLimits: { maxDepth: 5, maxDirectories: 100, maxFiles: 100 },
    });
    const put = shallow.put(
      'main',
      action,
      result({ outputDirectories: [outputDirectory('d', undefined, below)] }),
      signal,
    );
    expect((await failureOf(put)).message).toContain('deep');
  });
});

describe('a directory with more files than allowed', () => {
  test('is refused, however its files are spread', async () => {
    const directories = Array.from({ length: 3 }, (_, i) => {
      const files = [fileNode('a', blobs.add(`a${i}`)), fileNode('b', blobs.add(`b${i}`))];
      return { name: `d${i}`, digest: blobs.add(encodeDirectory(directoryOf({ files }))) };
    });
    const root = blobs.add(encodeDirectory(directoryOf({ directories })));
    const small = new CompletenessCheckingActionResults(store, blobs, silentLogger, {
      treeLimits: { maxDepth: 5, maxDirectories: 100, maxFiles: 5 },
    });
    const put = small.put(
      'main',
      action,
      result({ outputDirectories: [outputDirectory('d', undefined, root)] }),
      signal,
    );
    expect((await failureOf(put)).message).toContain('more than 5 files');
  });
});

describe('an entry that can not be read', () => {
  test('is a miss', async () => {
    await store.put('main', action, Buffer.from([0x12, 0xff, 0x01]));
    expect(await results.get('main', action, signal)).toBeUndefined();
  });

  test('because the storage fails is a failure', async () => {
    await results.put('main', action, result({ outputFiles: [outputFile('a', blobs.add('a'))] }), signal);
    const gone = new AbortController();
    gone.abort(new Error('gone'));
    await expect(results.get('main', action, gone.signal)).rejects.toThrow('gone');
  });
});

describe('contents that come inline', () => {
  test('are stored as blobs and named by digest', async () => {
    const given = result({
      outputFiles: [outputFile('a', undefined, Buffer.from('file'))],
      stdoutRaw: Buffer.from('out'),
      stderrRaw: Buffer.from('err'),
      stderrDigest: digestToWire(digestOf(Buffer.from('err'))),
    });
    // A file needs its digest even when its contents come along.
    expect((await failureOf(results.put('main', action, given, signal))).message).toContain('output_files[0].digest');
    const file = digestOf(Buffer.from('file'));
    const named = { ...given, outputFiles: [outputFile('a', file, Buffer.from('file'))] };
    await results.put('main', action, named, signal);
    expect(blobs.has(file)).toBe(true);
    expect(await results.get('main', action, signal)).toEqual(
      result({
        outputFiles: [outputFile('a', file)],
        stdoutDigest: digestToWire(digestOf(Buffer.from('out'))),
        stderrDigest: digestToWire(digestOf(Buffer.from('err'))),
      }),
    );
  });

  test('are refused when their digest is another', async () => {
    const given = result({ stdoutRaw: Buffer.from('out'), stdoutDigest: digestToWire(absent) });
    expect((await failureOf(results.put('main', action, given, signal))).message).toContain('stdout_digest');
    expect(blobs.blobs.size).toBe(0);
  });
});

describe('a result that is malformed is refused', () => {
  const present = digestOf(Buffer.from('present'));
  const symlink = (path: string, target = 'x') => ({ path, target });
  const badHash = { hash: 'xyz', sizeBytes: 3n };
  test.each<[string, Partial<ActionResult>, string]>([
    ['absolute path of a file', { outputFiles: [outputFile('/etc/passwd', present)] }, 'output_files[0].path'],
    ['path that leads out', { outputFiles: [outputFile('a/../../b', present)] }, 'output_files[0].path'],
    ['empty path of a file', { outputFiles: [outputFile('', present)] }, 'output_files[0].path'],
    ['empty segment', { outputFiles: [outputFile('a//b', present)] }, 'output_files[0].path'],
    ['slash at the end', { outputDirectories: [outputDirectory('a/', present)] }, 'output_directories[0].path'],
    ['NUL character', { outputFiles: [outputFile('a\0', present)] }, 'output_files[0].path'],
    ['one path twice', { outputFiles: [outputFile('a', present), outputFile('a', present)] }, 'output_files[1].path'],
    [
      'file and symlink of one path',
      { outputFiles: [outputFile('a', present)], outputSymlinks: [symlink('a')] },
      'output_symlinks[0].path',
    ],
    ['file without digest', { outputFiles: [outputFile('a', undefined)] }, 'output_files[0].digest'],
    [
      'file with a malformed digest',
      { outputFiles: [{ ...outputFile('a', present), digest: badHash }] },
      'output_files[0].digest.hash',
    ],
    ['directory without digest', { outputDirectories: [outputDirectory('a', undefined)] }, 'output_directories[0]'],
    [
      'malformed Tree digest',
      { outputDirectories: [{ ...outputDirectory('a', present), treeDigest: badHash }] },
      'tree_digest.hash',
    ],
    [
      'malformed root digest',
      { outputDirectories: [{ ...outputDirectory('a', present), rootDirectoryDigest: badHash }] },
      'root_directory_digest.hash',
    ],
    ['symlink without target', { outputSymlinks: [symlink('a', '')] }, 'output_symlinks[0].target'],
    ['old symlink that leads out', { outputFileSymlinks: [symlink('../a')] }, 'output_file_symlinks[0].path'],
    [
      'old symlink to a directory with an absolute path',
      { outputDirectorySymlinks: [symlink('/a')] },
      'output_directory_symlinks[0].path',
    ],
    ['malformed digest of standard output', { stdoutDigest: badHash }, 'stdout_digest.hash'],
    [
      'malformed digest of standard error',
      { stderrDigest: { ...digestToWire(present), sizeBytes: -1n } },
      'stderr_digest.size_bytes',
    ],
  ])('%s', async (_, parts, field) => {
    const error = await failureOf(results.put('main', action, result(parts), signal));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain(field);
    expect(store.entries.size).toBe(0);
  });

  test('larger than the limit', async () => {
    const small = new CompletenessCheckingActionResults(store, blobs, silentLogger, { maxResultSizeBytes: 100 });
    const file = blobs.add('file');
    const outputFiles = [outputFile('x'.repeat(100), file)];
    expect((await failureOf(small.put('main', action, result({ outputFiles }), signal))).message).toContain(
      '100 bytes',
    );
  });

  test('an old list may repeat the path of output_symlinks', async () => {
    const both = result({ outputSymlinks: [symlink('a')], outputFileSymlinks: [symlink('a')] });
    await results.put('main', action, both, signal);
    expect(await results.get('main', action, signal)).toEqual(both);
  });
});
