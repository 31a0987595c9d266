import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildAction, InputSymlink, store } from '../../test/support/action-builder.ts';
import { ExecutorFixture, outputs, SANDBOXES, shell } from '../../test/support/executor-fixture.ts';
import { digestKey, digestOf } from '../domain/digest.ts';
import { SHA256 } from '../domain/digest-function.ts';
import { StatusCode } from '../domain/status-code.ts';
import { Command_OutputDirectoryFormat, Directory } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { encodeDirectory } from '../wire/directory.ts';
import { decodeTree } from '../wire/tree.ts';

const never = new AbortController().signal;

describe.each(SANDBOXES)('outputs of LocalExecutor with sandbox %s', (sandbox) => {
  let fixture: ExecutorFixture;

  beforeEach(async () => {
    fixture = await ExecutorFixture.open(sandbox);
  });

  afterEach(() => fixture.close());

  it('collects files and their executable bits, and leaves out what was not made', async () => {
    const { result } = await fixture.execute(
      shell(
        'echo x > out/plain; echo y > out/tool; chmod +x out/tool',
        outputs('out/missing', 'out/plain', 'out/tool'),
      ),
    );
    expect(result.outputFiles.map(({ path, isExecutable }) => [path, isExecutable])).toEqual([
      ['out/plain', false],
      ['out/tool', true],
    ]);
    expect((await fixture.read(result.outputFiles[0]?.digest)).toString()).toBe('x\n');
  });

  it('describes a directory as a Tree, each directory once and behind its parents', async () => {
    const { result } = await fixture.execute(
      shell('mkdir -p d/x/same d/y/same; echo 1 > d/x/same/f; echo 1 > d/y/same/f; ln -s nowhere d/l', outputs('d')),
    );
    const [directory] = result.outputDirectories;
    expect(directory?.path).toBe('d');
    expect(directory?.isTopologicallySorted).toBe(true);
    expect(directory?.rootDirectoryDigest).toBeUndefined();
    const tree = decodeTree(await fixture.read(directory?.treeDigest), SHA256, 'tree');
    expect(tree.directories.size).toBe(3);
    expect(tree.root.symlinks).toMatchObject([{ name: 'l', target: 'nowhere' }]);
  });

  it('collects outputs beside and above the working directory, by the names that the command has for them', async () => {
    const { result } = await fixture.execute(
      shell('echo built > here; echo installed > ../../install/bin/tool; echo top > ../../top', {
        inputs: { build: { element: { source: 'text' } } },
        command: {
          workingDirectory: 'build/element',
          outputPaths: ['.', '../../install/bin/tool', '../../install', 'x/../../../top', '..'],
        },
      }),
    );
    expect(result.exitCode).toBe(0);
    expect(result.outputFiles.map(({ path }) => path)).toEqual(['../../install/bin/tool', 'x/../../../top']);
    expect(result.outputDirectories.map(({ path }) => path)).toEqual(['.', '../../install', '..']);
    const names = await Promise.all(
      result.outputDirectories.map(async ({ treeDigest }) => {
        const { root } = decodeTree(await fixture.read(treeDigest), SHA256, 'tree');
        return [...root.files, ...root.directories].map(({ name }) => name);
      }),
    );
    expect(names).toEqual([['here', 'source'], ['bin'], ['element']]);
  });

  it('refuses outputs that climb out of the inputs behind a symlink', async () => {
    const error = await fixture.failure(
      shell('true', {
        inputs: { deep: { link: new InputSymlink('../top') }, top: {} },
        command: { workingDirectory: 'deep/link', outputPaths: ['../..'] },
      }),
    );
    expect(error.code).toBe(StatusCode.FAILED_PRECONDITION);
    expect(error.message).toContain('out of the input root');
  });

  it('stores Directories instead of a Tree where the command asks for it', async () => {
    const { result } = await fixture.execute(
      shell('mkdir -p d/e; echo 1 > d/e/f', { command: { outputPaths: ['d'], outputDirectoryFormat: 1 } }),
    );
    const [directory] = result.outputDirectories;
    expect(directory?.treeDigest).toBeUndefined();
    const root = Directory.decode(await fixture.read(directory?.rootDirectoryDigest));
    expect(Directory.decode(await fixture.read(root.directories[0]?.digest)).files[0]?.name).toBe('f');
  });

  it('reports symlinks in output_symlinks, or in the old fields where the command uses the old lists', async () => {
    const script = 'ln -s target out; ln -s dir outdir; mkdir dir; ln -s missing gone';
    const now = await fixture.execute(shell(script, outputs('gone', 'out', 'outdir')));
    expect(now.result.outputSymlinks.map(({ path, target }) => [path, target])).toEqual([
      ['gone', 'missing'],
      ['out', 'target'],
      ['outdir', 'dir'],
    ]);
    const old = await fixture.execute(
      shell(script, { command: { outputFiles: ['out'], outputDirectories: ['outdir'] } }),
    );
    expect(old.result.outputFileSymlinks).toMatchObject([{ path: 'out', target: 'target' }]);
    expect(old.result.outputDirectorySymlinks).toMatchObject([{ path: 'outdir', target: 'dir' }]);
    expect(old.result.outputSymlinks).toEqual([]);
  });

  it('sorts symlinks of the old lists by the list that names them, wherever they lead', async () => {
    const { result } = await fixture.execute(
      shell('ln -s /usr far; ln -s /etc/passwd farfile; ln -s missing gone', {
        command: { outputFiles: ['farfile'], outputDirectories: ['far', 'gone'] },
      }),
    );
    expect(result.outputFileSymlinks).toMatchObject([{ path: 'farfile', target: '/etc/passwd' }]);
    expect(result.outputDirectorySymlinks).toMatchObject([
      { path: 'far', target: '/usr' },
      { path: 'gone', target: 'missing' },
    ]);
  });

  it('makes the folders that lead up to outputs, and not the outputs', async () => {
    const check = 'test -d a/b && test -d c/d && test ! -e a/b/file && test ! -e c/d/directory';
    const old = shell(check, { command: { outputFiles: ['a/b/file'], outputDirectories: ['c/d/directory'] } });
    expect((await fixture.execute(old)).result.exitCode).toBe(0);
    const now = shell(check, outputs('a/b/file', 'c/d/directory'));
    expect((await fixture.execute(now)).result.exitCode).toBe(0);
  });

  it('ignores the old lists where output_paths is used', async () => {
    const { result } = await fixture.execute(
      shell('echo 1 > a; echo 2 > b; mkdir d', {
        command: { outputPaths: ['a'], outputFiles: ['b'], outputDirectories: ['d'] },
      }),
    );
    expect(result.outputFiles.map(({ path }) => path)).toEqual(['a']);
    expect(result.outputDirectories).toEqual([]);
  });

  it('takes outputs relative to the working directory, the whole of which is the empty path', async () => {
    const { result } = await fixture.execute(
      shell('echo 1 > made', {
        inputs: { sub: { given: 'x' }, beside: 'y' },
        command: { workingDirectory: 'sub', outputFiles: ['made'], outputDirectories: [''] },
      }),
    );
    expect(result.outputFiles.map(({ path }) => path)).toEqual(['made']);
    expect(result.outputDirectories.map(({ path }) => path)).toEqual(['']);
    const tree = decodeTree(await fixture.read(result.outputDirectories[0]?.treeDigest), SHA256, 'tree');
    expect(tree.root.files.map(({ name }) => name)).toEqual(['given', 'made']);
  });

  it('describes equal directories by equal Trees, in whatever order they were made', async () => {
    const digests: unknown[] = [];
    for (const names of ['a b c', 'c a b']) {
      const script = `for i in ${names}; do mkdir -p d/$i/x; echo $i > d/$i/f; done`;
      digests.push((await fixture.execute(shell(script, outputs('d')))).result.outputDirectories[0]?.treeDigest);
    }
    expect(digests[0]).toBeDefined();
    expect(digests[1]).toEqual(digests[0]);
  });

  it('stores both forms of a directory where both are asked for, with one root, and a Tree for a form unknown', async () => {
    const of = async (outputDirectoryFormat: Command_OutputDirectoryFormat) => {
      const command = { outputPaths: ['d'], outputDirectoryFormat };
      return (await fixture.execute(shell('mkdir -p d/e; echo 1 > d/e/f', { command }))).result.outputDirectories[0];
    };
    const both = await of(Command_OutputDirectoryFormat.TREE_AND_DIRECTORY);
    const tree = decodeTree(await fixture.read(both?.treeDigest), SHA256, 'tree');
    const root = await fixture.read(both?.rootDirectoryDigest);
    expect(Buffer.from(encodeDirectory(tree.root))).toEqual(root);
    const unknown = await of(77 as Command_OutputDirectoryFormat);
    expect(unknown?.treeDigest).toEqual(both?.treeDigest);
    expect(unknown?.rootDirectoryDigest).toBeUndefined();
  });

  it('reports the node properties that the command asks for', async () => {
    const { result } = await fixture.execute(
      shell('echo x > f; chmod 750 f; touch -d @1000000000 f', {
        command: { outputPaths: ['f'], outputNodeProperties: ['mtime', 'unix_mode'] },
      }),
    );
    expect(result.outputFiles[0]?.nodeProperties).toMatchObject({
      mtime: { seconds: 1_000_000_000n },
      unixMode: 0o750,
    });
  });

  it('refuses a directory where the command names a file', async () => {
    const error = await fixture.failure(shell('mkdir out', { command: { outputFiles: ['out'] } }));
    expect(error.code).toBe(StatusCode.FAILED_PRECONDITION);
  });

  it('refuses a symlink to a directory where the command names a file', async () => {
    const error = await fixture.failure(shell('mkdir d; ln -s d out', { command: { outputFiles: ['out'] } }));
    expect(error.code).toBe(StatusCode.FAILED_PRECONDITION);
  });

  it('refuses a file, and a symlink to one, where the command names a directory', async () => {
    for (const script of ['echo x > out', 'echo x > f; ln -s f out']) {
      const error = await fixture.failure(shell(script, { command: { outputDirectories: ['out'] } }));
      expect(error).toMatchObject({
        code: StatusCode.FAILED_PRECONDITION,
        message: expect.stringContaining('no directory'),
      });
    }
  });

  it('refuses a FIFO without waiting for a writer', async () => {
    const error = await fixture.failure(shell('mkfifo out', outputs('out')));
    expect(error).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, message: expect.stringContaining('FIFO') });
  });

  it('never reads an output through a symlink that leads out of the input root', async () => {
    const error = await fixture.failure(shell('rmdir out; ln -s /etc out', outputs('out/passwd')));
    expect(error).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, message: expect.stringContaining('symlink') });
  });

  it('refuses outputs beyond the limits of size and number', async () => {
    await fixture.reopen({ maxBytes: 1_000, maxNodes: 10 });
    const large = await fixture.failure(shell('head -c 2000 /dev/zero > out', outputs('out')));
    expect(large).toMatchObject({
      code: StatusCode.FAILED_PRECONDITION,
      message: expect.stringContaining('1000 bytes'),
    });
    const many = await fixture.failure(shell('mkdir d; for i in $(seq 20); do : > d/$i; done', outputs('d')));
    expect(many).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, message: expect.stringContaining('10 files') });
  });

  it('uploads of many bytes only what the storage lacks', async () => {
    await store(fixture.blobs, Buffer.alloc(200_000));
    const writes: string[] = [];
    const write = fixture.blobs.write.bind(fixture.blobs);
    fixture.blobs.write = (digest, source, signal) => {
      writes.push(digestKey(digest));
      return write(digest, source, signal);
    };
    const action = await buildAction(
      fixture.blobs,
      shell('head -c 200000 /dev/zero > a; echo new > b', outputs('a', 'b')),
    );
    writes.length = 0;
    await fixture.executor.execute(action, undefined, fixture.progress, never);
    expect(writes).toEqual([digestKey(digestOf(Buffer.from('new\n')))]);
  });
});
