import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { InputFile, InputSymlink, store } from '../../test/support/action-builder.ts';
import { ExecutorFixture, outputs, SANDBOXES, shell } from '../../test/support/executor-fixture.ts';
import { type Digest, digestKey, digestOf } from '../domain/digest.ts';
import { SHA256 } from '../domain/digest-function.ts';
import { StatusCode } from '../domain/status-code.ts';
import { Directory } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestToWire } from '../wire/digest.ts';

describe.each(SANDBOXES)('inputs of LocalExecutor with sandbox %s', (sandbox) => {
  let fixture: ExecutorFixture;

  beforeEach(async () => {
    fixture = await ExecutorFixture.open(sandbox);
  });

  afterEach(() => fixture.close());

  it('lays out files, folders, executable bits, symlinks, modes and times', async () => {
    const dated = new InputFile('dated', false, {
      properties: [],
      mtime: { seconds: 1_000_000_000n, nanos: 0 },
      unixMode: 0o640,
    });
    const { result } = await fixture.execute(
      shell('cat a/b; ./run; readlink link; cat link; stat -c "%a %Y" dated; cat empty | wc -c', {
        inputs: {
          a: { b: 'content\n' },
          run: new InputFile('#!/bin/sh\necho ran\n', true),
          link: new InputSymlink('a/b'),
          dated,
          empty: '',
        },
      }),
    );
    expect(result.stdoutRaw.toString()).toBe('content\nran\na/b\ncontent\n640 1000000000\n0\n');
  });

  it.each([['..'], ['a/b'], [''], ['.']])('refuses an input tree with the name %j', async (name) => {
    const file = await store(fixture.blobs, Buffer.from('x'));
    const directory = Directory.decode(new Uint8Array(0));
    directory.files.push({ name, digest: digestToWire(file), isExecutable: false });
    const root = await store(fixture.blobs, Directory.encode(directory).finish());
    const error = await fixture.failure({ arguments: ['true'], action: { inputRootDigest: digestToWire(root) } });
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
  });

  it('refuses an input tree in which a name occurs twice', async () => {
    const file = digestToWire(await store(fixture.blobs, Buffer.from('x')));
    const directory = Directory.decode(new Uint8Array(0));
    directory.files.push({ name: 'a', digest: file, isExecutable: false });
    directory.symlinks.push({ name: 'a', target: '/etc' });
    const root = await store(fixture.blobs, Directory.encode(directory).finish());
    const error = await fixture.failure({ arguments: ['true'], action: { inputRootDigest: digestToWire(root) } });
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
  });

  it('names every missing blob, files and directories alike', async () => {
    const lost: Digest[] = [1, 2, 3].map((i) => digestOf(Buffer.from(`lost ${i}`)));
    const directory = Directory.decode(new Uint8Array(0));
    directory.files.push(
      { name: 'a', digest: digestToWire(lost[0] as Digest), isExecutable: false },
      { name: 'b', digest: digestToWire(lost[1] as Digest), isExecutable: true },
    );
    directory.directories.push({ name: 'c', digest: digestToWire(lost[2] as Digest) });
    const root = await store(fixture.blobs, Directory.encode(directory).finish());
    const error = await fixture.failure({ arguments: ['true'], action: { inputRootDigest: digestToWire(root) } });
    expect(error.code).toBe(StatusCode.FAILED_PRECONDITION);
    const [detail] = error.details;
    const subjects = detail?.kind === 'precondition-failure' ? detail.violations.map((each) => each.subject) : [];
    expect(subjects.sort()).toEqual(lost.map((digest) => `blobs/${digestKey(digest)}`).sort());
  });

  it('needs no download for what an action before has made', async () => {
    const first = await fixture.execute(shell('echo made > out', outputs('out')));
    const made = digestFromWire(first.result.outputFiles[0]?.digest, SHA256, 'test');
    const reads: string[] = [];
    const readWhole = fixture.blobs.readWhole.bind(fixture.blobs);
    fixture.blobs.readWhole = (digest, signal) => {
      reads.push(digestKey(digest));
      return readWhole(digest, signal);
    };
    const { result } = await fixture.execute(shell('cat in', { inputs: { in: 'made\n' } }));
    expect(result.stdoutRaw.toString()).toBe('made\n');
    expect(reads).not.toContain(digestKey(made));
  });

  it('keeps an action that changes its inputs in place from harming those that come after', async () => {
    const harm = await fixture.execute(
      shell('chmod u+w in; echo harm > in; touch -d @1000000000 in; cat in', { inputs: { in: 'sound\n' } }),
    );
    expect(harm.result.stdoutRaw.toString()).toBe('harm\n');
    const { result } = await fixture.execute(shell('cat in', { inputs: { in: 'sound\n' } }));
    expect(result.stdoutRaw.toString()).toBe('sound\n');
  });

  it('leaves alone a cached file whose link an action has moved or removed', async () => {
    const moved = await fixture.execute(
      shell('mv in out; rm gone', { inputs: { in: 'x\n', gone: 'y\n' }, ...outputs('out') }),
    );
    expect((await fixture.read(moved.result.outputFiles[0]?.digest)).toString()).toBe('x\n');
    const { result } = await fixture.execute(shell('cat in gone', { inputs: { in: 'x\n', gone: 'y\n' } }));
    expect(result.stdoutRaw.toString()).toBe('x\ny\n');
  });

  it('shows an action nothing of the one before, whose untouched directories it gets', async () => {
    const before = {
      same: { deep: { file: 'x' } },
      gone: { deep: { file: 'x' } },
      changed: { inner: { file: 'x' } },
      secret: { file: 'x' },
      link: new InputSymlink('same'),
    };
    const script = 'mkdir -p same/deep; echo left > changed/inner/left; chmod 700 secret; rm changed/inner/file';
    await fixture.execute(shell(script, { inputs: before }));
    await fixture.executor.settled();
    const [kept] = fixture.workFolders();
    const after = { same: { deep: { other: 'y' } }, changed: { inner: {} }, secret: {}, fresh: { file: 'y' } };
    const list = shell('find . ! -name . -printf "%p %m\n" | LC_ALL=C sort', { inputs: after });
    const { result } = await fixture.execute(list);
    expect(result.stdoutRaw.toString().split('\n')).toEqual([
      './changed 755',
      './changed/inner 755',
      './fresh 755',
      './fresh/file 444',
      './same 755',
      './same/deep 755',
      './same/deep/other 444',
      './secret 755',
      '',
    ]);
    await fixture.executor.settled();
    expect(fixture.workFolders()).toEqual([kept]);
    const standing = readdirSync(join(fixture.folder, 'work', kept ?? '', 'root'), {
      recursive: true,
      encoding: 'utf8',
    });
    expect(new Set(standing)).toEqual(new Set(['changed', 'changed/inner', 'fresh', 'same', 'same/deep', 'secret']));
    expect(readdirSync(join(fixture.folder, 'work', kept ?? '', 'scratch')).sort()).toEqual(['stderr', 'stdout']);
  });

  it('puts directories by that an action has no use for, and takes them for those of the next', async () => {
    const inode = (path: string) => statSync(join(fixture.folder, 'work', kept ?? '', path)).ino;
    await fixture.execute(shell('true', { inputs: { a: { b: { file: 'x' } }, same: { file: 'x' } } }));
    await fixture.executor.settled();
    const [kept] = fixture.workFolders();
    const before = new Set([inode('root/a'), inode('root/a/b')]);
    await fixture.execute(shell('true', { inputs: { same: { file: 'x' } } }));
    await fixture.executor.settled();
    expect(fixture.spareDirectories()).toHaveLength(2);
    const list = 'find . ! -name . -printf "%p %m %y\\n" | LC_ALL=C sort';
    const inputs = { other: { file: 'y' }, same: {} };
    const { result } = await fixture.execute(shell(list, { inputs, command: { outputPaths: ['out/file'] } }));
    expect(result.stdoutRaw.toString()).toBe('./other 755 d\n./other/file 444 f\n./out 755 d\n./same 755 d\n');
    await fixture.executor.settled();
    expect(fixture.spareDirectories()).toEqual([]);
    expect(new Set([inode('root/other'), inode('root/out')])).toEqual(before);
  });

  it('keeps the files for what is printed while nothing is, and shows no action what another has printed', async () => {
    const files = () =>
      ['stdout', 'stderr'].map((name) => {
        const { ino, mode } = statSync(join(fixture.folder, 'work', kept ?? '', 'scratch', name));
        return { ino, mode: mode & 0o777 };
      });
    await fixture.execute(shell('true'));
    await fixture.executor.settled();
    const [kept] = fixture.workFolders();
    const loud = await fixture.execute(shell('echo printed >&2; chmod 666 /dev/stdout'));
    expect(loud.result.stderrRaw.toString()).toBe('printed\n');
    await fixture.executor.settled();
    expect(fixture.workFolders()).toEqual([kept]);
    const before = files();
    expect(before.map(({ mode }) => mode)).toEqual([0o600, 0o600]);
    const next = await fixture.execute(shell('true'));
    expect([next.result.stdoutRaw.length, next.result.stderrRaw.length]).toEqual([0, 0]);
    await fixture.executor.settled();
    expect(files()).toEqual(before);
  });

  it('gives no directory on that has a mode of its own', async () => {
    const root = Directory.fromPartial({ nodeProperties: { unixMode: 0o700 } });
    const inputRootDigest = digestToWire(await store(fixture.blobs, Directory.encode(root).finish()));
    await fixture.execute(shell('true', { action: { inputRootDigest } }));
    await fixture.executor.settled();
    expect(fixture.workFolders()).toEqual([]);
  });

  it('takes a cache that a run before has left, but looks at each file first', async () => {
    await fixture.execute(shell('cat in', { inputs: { in: 'kept\n' } }));
    await fixture.executor.settled();
    const digest = digestOf(Buffer.from('kept\n'));
    const path = join(fixture.folder, 'cache', digest.hash.slice(0, 2), `${digest.hash}-5-sha256`);
    expect(readFileSync(path, 'utf8')).toBe('kept\n');
    chmodSync(path, 0o600);
    writeFileSync(path, 'lies\n');
    await fixture.reopen({});
    const { result } = await fixture.execute(shell('cat in', { inputs: { in: 'kept\n' } }));
    expect(result.stdoutRaw.toString()).toBe('kept\n');
    expect(existsSync(path)).toBe(true);
  });
});
