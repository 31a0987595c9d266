import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  type ActionDescription,
  buildAction,
  InputFile,
  InputSymlink,
  store,
} from '../../test/support/action-builder.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { chooseRunner } from '../adapters/runner/choose-runner.ts';
import { type Digest, digestKey, digestOf } from '../domain/digest.ts';
import { SHA256 } from '../domain/digest-function.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { SystemClock } from '../lib/clock.ts';
import { RandomIdGenerator } from '../lib/ids.ts';
import { silentLogger } from '../lib/log.ts';
import { Semaphore } from '../lib/semaphore.ts';
import { type Command, Directory } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestToWire } from '../wire/digest.ts';
import { decodeTree } from '../wire/tree.ts';
import { DirectoryReader } from './directory-reader.ts';
import { ExecutionProgress } from './execution-progress.ts';
import { FileCache } from './file-cache.ts';
import { InputStager } from './input-stager.ts';
import { type ExecutionLimits, type ExecutionOutcome, LocalExecutor } from './local-executor.ts';
import { WorkFolders } from './work-folders.ts';
import { DEFAULT_EXECUTION_LIMITS } from './worker.ts';

const clock = new SystemClock();
const never = new AbortController().signal;
const SLOTS = 2;

describe.each(['bubblewrap', 'none'] as const)('LocalExecutor with sandbox %s', (sandbox) => {
  const sandboxed = [sandbox].filter((name) => name !== 'none');
  let folder: string;
  let blobs: MemoryBlobStore;
  let cache: FileCache;
  let executor: LocalExecutor;
  let progress: ExecutionProgress;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'warren-executor-'));
    chmodSync(folder, 0o755);
    await open({});
  });

  afterEach(async () => {
    await executor.settled();
    cache.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function open(limits: Partial<ExecutionLimits>): Promise<void> {
    blobs = new MemoryBlobStore(1 << 28);
    cache = new FileCache(join(folder, 'cache'), 1 << 28, blobs, silentLogger);
    cache.open();
    const folders = new WorkFolders(join(folder, 'work'), new RandomIdGenerator(), silentLogger);
    await folders.open();
    const { runner } = await chooseRunner(
      {
        sandbox,
        workFolder: folder,
        hiddenFolders: [folder],
        path: '/usr/bin:/bin',
        architecture: process.arch,
      },
      clock,
      never,
    );
    const stager = new InputStager(new DirectoryReader(blobs), cache);
    const all = { ...DEFAULT_EXECUTION_LIMITS, ...limits };
    executor = new LocalExecutor(blobs, stager, cache, folders, runner, new Semaphore(SLOTS), all, silentLogger);
    progress = new ExecutionProgress(clock, 'the-worker');
  }

  async function execute(description: ActionDescription, signal = never): Promise<ExecutionOutcome> {
    return executor.execute(await buildAction(blobs, description), undefined, progress, signal);
  }

  async function failure(description: ActionDescription): Promise<StatusError> {
    return execute(description).then(
      () => Promise.reject(new Error('it went well')),
      (thrown: unknown) => StatusError.from(thrown),
    );
  }

  function shell(script: string, rest: Omit<ActionDescription, 'arguments'> = {}): ActionDescription {
    return { arguments: ['sh', '-c', script], ...rest };
  }

  async function read(wire: { hash: string; sizeBytes: bigint } | undefined): Promise<Buffer> {
    return Buffer.from(await blobs.readWhole(digestFromWire(wire, SHA256, 'test'), never));
  }

  function outputs(...outputPaths: string[]): Pick<ActionDescription, 'command'> {
    return { command: { outputPaths } };
  }

  function workFolders(): string[] {
    return readdirSync(join(folder, 'work'));
  }

  it('gives back the exit code, and what was printed inline while it is small', async () => {
    const { result, status } = await execute(shell('echo out; echo err >&2; exit 7'));
    expect(status).toBeUndefined();
    expect(result.exitCode).toBe(7);
    expect(result.stdoutRaw.toString()).toBe('out\n');
    expect(result.stderrRaw.toString()).toBe('err\n');
    expect(result.stdoutDigest).toBeUndefined();
  });

  it('stores what was printed once it is large', async () => {
    const { result } = await execute(shell('head -c 20000 /dev/zero'));
    expect(result.stdoutRaw).toHaveLength(0);
    expect((await read(result.stdoutDigest)).byteLength).toBe(20_000);
  });

  it('tells a signal by exit code 128 + n, and by its name in the resource usage', async () => {
    const { result } = await execute(shell('kill -SEGV $$'));
    expect(result.exitCode).toBe(139);
    expect(progress.metadata.auxiliaryMetadata[0]?.value.toString('latin1')).toContain('SEGV');
  });

  it('answers as a shell does when there is no such program', async () => {
    const { result, status } = await execute({ arguments: ['no-such-program'] });
    expect(status).toBeUndefined();
    expect(result.exitCode).toBe(127);
    expect(result.stderrRaw.toString()).toContain('no-such-program: not found');
  });

  it('answers as a shell does when a file can not be executed', async () => {
    const { result } = await execute({ arguments: ['./tool'], inputs: { tool: 'not executable' } });
    expect(result.exitCode).toBe(126);
  });

  it('gives the command its environment and nothing else', async () => {
    const { result } = await execute({ arguments: ['/usr/bin/env'], environment: { A: '1', LD_PRELOAD_X: 'ü' } });
    expect(result.stdoutRaw.toString().split('\n').sort()).toEqual(['', 'A=1', 'LD_PRELOAD_X=ü']);
  });

  it('finds a program relative to the working directory, and an unqualified one in the PATH of the command', async () => {
    const tool = new InputFile('#!/bin/sh\necho tool in $(basename $PWD)\n', true);
    const inputs = { sub: { 'tool.sh': tool }, bin: { mytool: tool } };
    const relative = await execute({ arguments: ['./tool.sh'], inputs, command: { workingDirectory: 'sub' } });
    expect(relative.result.stdoutRaw.toString()).toBe('tool in sub\n');
    const path = await execute({ arguments: ['mytool'], inputs, environment: { PATH: 'bin:/usr/bin:/bin' } });
    expect(path.result.stdoutRaw.toString()).toContain('tool in ');
  });

  it('lays out files, folders, executable bits, symlinks, modes and times', async () => {
    const dated = new InputFile('dated', false, {
      properties: [],
      mtime: { seconds: 1_000_000_000n, nanos: 0 },
      unixMode: 0o640,
    });
    const { result } = await execute(
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

  it('collects files and their executable bits, and leaves out what was not made', async () => {
    const { result } = await execute(
      shell(
        'echo x > out/plain; echo y > out/tool; chmod +x out/tool',
        outputs('out/missing', 'out/plain', 'out/tool'),
      ),
    );
    expect(result.outputFiles.map(({ path, isExecutable }) => [path, isExecutable])).toEqual([
      ['out/plain', false],
      ['out/tool', true],
    ]);
    expect((await read(result.outputFiles[0]?.digest)).toString()).toBe('x\n');
  });

  it('describes a directory as a Tree, each directory once and behind its parents', async () => {
    const { result } = await execute(
      shell('mkdir -p d/x/same d/y/same; echo 1 > d/x/same/f; echo 1 > d/y/same/f; ln -s nowhere d/l', outputs('d')),
    );
    const [directory] = result.outputDirectories;
    expect(directory?.path).toBe('d');
    expect(directory?.isTopologicallySorted).toBe(true);
    expect(directory?.rootDirectoryDigest).toBeUndefined();
    const tree = decodeTree(await read(directory?.treeDigest), SHA256, 'tree');
    expect(tree.directories.size).toBe(3);
    expect(tree.root.symlinks).toMatchObject([{ name: 'l', target: 'nowhere' }]);
  });

  it('stores Directories instead of a Tree where the command asks for it', async () => {
    const { result } = await execute(
      shell('mkdir -p d/e; echo 1 > d/e/f', { command: { outputPaths: ['d'], outputDirectoryFormat: 1 } }),
    );
    const [directory] = result.outputDirectories;
    expect(directory?.treeDigest).toBeUndefined();
    const root = Directory.decode(await read(directory?.rootDirectoryDigest));
    expect(Directory.decode(await read(root.directories[0]?.digest)).files[0]?.name).toBe('f');
  });

  it('reports symlinks in output_symlinks, or in the old fields where the command uses the old lists', async () => {
    const script = 'ln -s target out; ln -s dir outdir; mkdir dir; ln -s missing gone';
    const now = await execute(shell(script, outputs('gone', 'out', 'outdir')));
    expect(now.result.outputSymlinks.map(({ path, target }) => [path, target])).toEqual([
      ['gone', 'missing'],
      ['out', 'target'],
      ['outdir', 'dir'],
    ]);
    const old = await execute(shell(script, { command: { outputFiles: ['out'], outputDirectories: ['outdir'] } }));
    expect(old.result.outputFileSymlinks).toMatchObject([{ path: 'out', target: 'target' }]);
    expect(old.result.outputDirectorySymlinks).toMatchObject([{ path: 'outdir', target: 'dir' }]);
    expect(old.result.outputSymlinks).toEqual([]);
  });

  it('reports the node properties that the command asks for', async () => {
    const { result } = await execute(
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
    const error = await failure(shell('mkdir out', { command: { outputFiles: ['out'] } }));
    expect(error.code).toBe(StatusCode.FAILED_PRECONDITION);
  });

  it('refuses a FIFO without waiting for a writer', async () => {
    const error = await failure(shell('mkfifo out', outputs('out')));
    expect(error).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, message: expect.stringContaining('FIFO') });
  });

  it('never reads an output through a symlink that leads out of the input root', async () => {
    const error = await failure(shell('rmdir out; ln -s /etc out', outputs('out/passwd')));
    expect(error).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, message: expect.stringContaining('symlink') });
  });

  it.each([
    ['output_paths', { outputPaths: ['../x'] }],
    ['output_paths', { outputPaths: ['/etc/x'] }],
    ['output_paths', { outputPaths: ['a/./b'] }],
    ['output_paths', { outputPaths: ['a/'] }],
    ['output_files', { outputFiles: ['../x'] }],
    ['output_directories', { outputDirectories: ['a/../../x'] }],
    ['working_directory', { workingDirectory: '../..' }],
    ['working_directory', { workingDirectory: '/tmp' }],
    ['working_directory', { workingDirectory: 'not-there' }],
    ['working_directory', { workingDirectory: 'escape' }],
    ['output_paths', { outputPaths: ['escape/x'] }],
    ['output_paths', { outputPaths: ['file/x'] }],
    ['output_node_properties', { outputNodeProperties: ['colour'] }],
  ])('refuses a command whose %s is %j', async (field, command: Partial<Command>) => {
    const error = await failure({
      arguments: ['true'],
      inputs: { escape: new InputSymlink('/etc'), file: 'x' },
      command,
    });
    expect(error).toMatchObject({ code: StatusCode.INVALID_ARGUMENT, message: expect.stringContaining(field) });
    await executor.settled();
    expect(workFolders()).toEqual([]);
  });

  it.each([['..'], ['a/b'], [''], ['.']])('refuses an input tree with the name %j', async (name) => {
    const file = await store(blobs, Buffer.from('x'));
    const directory = Directory.decode(new Uint8Array(0));
    directory.files.push({ name, digest: digestToWire(file), isExecutable: false });
    const root = await store(blobs, Directory.encode(directory).finish());
    const error = await failure({ arguments: ['true'], action: { inputRootDigest: digestToWire(root) } });
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
  });

  it('refuses an input tree in which a name occurs twice', async () => {
    const file = digestToWire(await store(blobs, Buffer.from('x')));
    const directory = Directory.decode(new Uint8Array(0));
    directory.files.push({ name: 'a', digest: file, isExecutable: false });
    directory.symlinks.push({ name: 'a', target: '/etc' });
    const root = await store(blobs, Directory.encode(directory).finish());
    const error = await failure({ arguments: ['true'], action: { inputRootDigest: digestToWire(root) } });
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
    const root = await store(blobs, Directory.encode(directory).finish());
    const error = await failure({ arguments: ['true'], action: { inputRootDigest: digestToWire(root) } });
    expect(error.code).toBe(StatusCode.FAILED_PRECONDITION);
    const [detail] = error.details;
    const subjects = detail?.kind === 'precondition-failure' ? detail.violations.map((each) => each.subject) : [];
    expect(subjects.sort()).toEqual(lost.map((digest) => `blobs/${digestKey(digest)}`).sort());
  });

  it('lays out the inputs of one action more while its slots run commands, and runs it only then', async () => {
    const running = Array.from({ length: SLOTS + 1 }, async (_, index) => {
      const own = new ExecutionProgress(clock, 'the-worker');
      const action = await buildAction(blobs, shell(`sleep 0.5; echo ${index}`));
      await executor.execute(action, undefined, own, never);
      const at = (time: { seconds: bigint; nanos: number } | undefined) =>
        Number(time?.seconds) * 1_000 + (time?.nanos ?? Number.NaN) / 1e6;
      const { inputFetchCompletedTimestamp, executionStartTimestamp, executionCompletedTimestamp } = own.metadata;
      return {
        laidOut: at(inputFetchCompletedTimestamp),
        started: at(executionStartTimestamp),
        ended: at(executionCompletedTimestamp),
      };
    });
    const all = (await Promise.all(running)).sort((a, b) => a.started - b.started);
    const firstEnd = Math.min(...all.slice(0, SLOTS).map(({ ended }) => ended));
    expect(all[SLOTS]?.started).toBeGreaterThanOrEqual(firstEnd);
    expect(all[SLOTS]?.laidOut).toBeLessThan(firstEnd);
  });

  it('kills the whole tree at the timeout, and keeps what was printed', async () => {
    const { result, status } = await execute(
      shell('echo before; (setsid sleep 61 &) ; sleep 62', { timeoutMilliseconds: 300 }),
    );
    expect(status?.code).toBe(StatusCode.DEADLINE_EXCEEDED);
    expect(result.stdoutRaw.toString()).toBe('before\n');
    expect(runningSleeps()).toEqual([]);
  });

  it('kills daemons that outlive the command', async () => {
    await execute(shell('setsid sh -c "setsid sleep 61 </dev/null >/dev/null 2>&1 &" & echo done'));
    expect(runningSleeps()).toEqual([]);
  });

  it('kills the tree when the lease is taken back', async () => {
    const controller = new AbortController();
    const running = execute(shell('sleep 61'), controller.signal);
    clock.setTimer(200, () => controller.abort(new Error('taken back')));
    await expect(running).rejects.toThrow('taken back');
    expect(runningSleeps()).toEqual([]);
  });

  it.each([-1, 1e15])('refuses a timeout of %d ms', async (timeoutMilliseconds) => {
    const error = await failure({ arguments: ['true'], timeoutMilliseconds });
    expect(error).toMatchObject({ code: StatusCode.INVALID_ARGUMENT, message: expect.stringContaining('timeout') });
  });

  it('kills an action that prints more than the limit', async () => {
    await open({ maxLogBytes: 10_000 });
    const { result, status } = await execute({ arguments: ['yes'] });
    expect(status?.code).toBe(StatusCode.FAILED_PRECONDITION);
    expect(result.stdoutRaw).toHaveLength(10_000);
  });

  it('does not blame a command that fails while the disk is full', async () => {
    await open({ minFreeBytes: Number.POSITIVE_INFINITY });
    expect(await failure(shell('exit 1'))).toMatchObject({ code: StatusCode.UNAVAILABLE });
    expect((await execute(shell('exit 0'))).result.exitCode).toBe(0);
  });

  it('refuses outputs beyond the limits of size and number', async () => {
    await open({ maxBytes: 1_000, maxNodes: 10 });
    const large = await failure(shell('head -c 2000 /dev/zero > out', outputs('out')));
    expect(large).toMatchObject({
      code: StatusCode.FAILED_PRECONDITION,
      message: expect.stringContaining('1000 bytes'),
    });
    const many = await failure(shell('mkdir d; for i in $(seq 20); do : > d/$i; done', outputs('d')));
    expect(many).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, message: expect.stringContaining('10 files') });
  });

  it('uploads only what the storage lacks', async () => {
    await store(blobs, Buffer.from('known\n'));
    const writes: string[] = [];
    const write = blobs.write.bind(blobs);
    blobs.write = (digest, source, signal) => {
      writes.push(digestKey(digest));
      return write(digest, source, signal);
    };
    const action = await buildAction(blobs, shell('echo known > a; echo new > b', outputs('a', 'b')));
    writes.length = 0;
    await executor.execute(action, undefined, progress, never);
    expect(writes).toEqual([digestKey(digestOf(Buffer.from('new\n')))]);
  });

  it('needs no download for what an action before has made', async () => {
    const first = await execute(shell('echo made > out', outputs('out')));
    const made = digestFromWire(first.result.outputFiles[0]?.digest, SHA256, 'test');
    const reads: string[] = [];
    const readWhole = blobs.readWhole.bind(blobs);
    blobs.readWhole = (digest, signal) => {
      reads.push(digestKey(digest));
      return readWhole(digest, signal);
    };
    const { result } = await execute(shell('cat in', { inputs: { in: 'made\n' } }));
    expect(result.stdoutRaw.toString()).toBe('made\n');
    expect(reads).not.toContain(digestKey(made));
  });

  it('keeps an action that changes its inputs in place from harming those that come after', async () => {
    const harm = await execute(
      shell('chmod u+w in; echo harm > in; touch -d @1000000000 in; cat in', { inputs: { in: 'sound\n' } }),
    );
    expect(harm.result.stdoutRaw.toString()).toBe('harm\n');
    const { result } = await execute(shell('cat in', { inputs: { in: 'sound\n' } }));
    expect(result.stdoutRaw.toString()).toBe('sound\n');
  });

  it('leaves alone a cached file whose link an action has moved or removed', async () => {
    const moved = await execute(shell('mv in out; rm gone', { inputs: { in: 'x\n', gone: 'y\n' }, ...outputs('out') }));
    expect((await read(moved.result.outputFiles[0]?.digest)).toString()).toBe('x\n');
    const { result } = await execute(shell('cat in gone', { inputs: { in: 'x\n', gone: 'y\n' } }));
    expect(result.stdoutRaw.toString()).toBe('x\ny\n');
  });

  it('removes its folders, even where the action took its permissions away', async () => {
    await execute(shell('mkdir -p a/b/c; echo x > a/b/c/f; chmod 0 a/b/c a/b'));
    await executor.settled();
    expect(workFolders()).toEqual([]);
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
    await execute(shell(script, { inputs: before }));
    await executor.settled();
    const [kept] = workFolders();
    const after = { same: { deep: { other: 'y' } }, changed: { inner: {} }, secret: {}, fresh: { file: 'y' } };
    const list = shell('find . ! -name . -printf "%p %m\n" | LC_ALL=C sort', { inputs: after });
    const { result } = await execute(list);
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
    await executor.settled();
    expect(workFolders()).toEqual([kept]);
    const standing = readdirSync(join(folder, 'work', kept ?? '', 'root'), { recursive: true, encoding: 'utf8' });
    expect(new Set(standing)).toEqual(new Set(['changed', 'changed/inner', 'fresh', 'same', 'same/deep', 'secret']));
    expect(readdirSync(join(folder, 'work', kept ?? '', 'scratch'))).toEqual([]);
  });

  it('gives no directory on that has a mode of its own', async () => {
    const root = Directory.fromPartial({ nodeProperties: { unixMode: 0o700 } });
    const inputRootDigest = digestToWire(await store(blobs, Directory.encode(root).finish()));
    await execute(shell('true', { action: { inputRootDigest } }));
    await executor.settled();
    expect(workFolders()).toEqual([]);
  });

  it('reports every timestamp in order, the duration and what was used', async () => {
    const { result } = await execute(shell('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'));
    expect(result.exitCode).toBe(0);
    const { metadata } = progress;
    const order = [
      metadata.inputFetchStartTimestamp,
      metadata.inputFetchCompletedTimestamp,
      metadata.executionStartTimestamp,
      metadata.executionCompletedTimestamp,
      metadata.outputUploadStartTimestamp,
      metadata.outputUploadCompletedTimestamp,
    ].map((stamp) => Number(stamp?.seconds) * 1e9 + Number(stamp?.nanos));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order.every((each) => each > 0)).toBe(true);
    expect(metadata.worker).toBe('the-worker');
    expect(metadata.virtualExecutionDuration).toBeDefined();
    expect(metadata.auxiliaryMetadata[0]?.typeUrl).toContain('POSIXResourceUsage');
  });

  it('takes a cache that a run before has left, but looks at each file first', async () => {
    await execute(shell('cat in', { inputs: { in: 'kept\n' } }));
    await executor.settled();
    const digest = digestOf(Buffer.from('kept\n'));
    const path = join(folder, 'cache', digest.hash.slice(0, 2), `${digest.hash}-5-sha256`);
    expect(readFileSync(path, 'utf8')).toBe('kept\n');
    chmodSync(path, 0o600);
    writeFileSync(path, 'lies\n');
    await open({});
    const { result } = await execute(shell('cat in', { inputs: { in: 'kept\n' } }));
    expect(result.stdoutRaw.toString()).toBe('kept\n');
    expect(existsSync(path)).toBe(true);
  });

  it.each(sandboxed)(
    '%s shows the host read-only, hides the folders of the worker, and gives an empty /tmp',
    async () => {
      const { result } = await execute(shell(`touch /etc/x || echo read-only; ls ${folder} /tmp; pwd`));
      expect(result.stdoutRaw.toString()).toContain('read-only');
      expect(result.stdoutRaw.toString()).toContain('/run/warren/root');
      expect(result.stdoutRaw.toString()).not.toContain('cache');
    },
  );

  it.each(sandboxed)('%s gives the network to those that ask for it, and to nobody else', async () => {
    const script = 'ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | wc -l';
    const without = await execute(shell(script));
    expect(without.result.stdoutRaw.toString().trim().split('\n').pop()).toBe('1');
    const platform = { properties: [{ name: 'network', value: 'on' }] };
    const asked = await execute(shell('readlink /proc/self/ns/net', { action: { platform } }));
    expect(asked.result.stdoutRaw.toString().trim()).toBe(networkOfHost());
  });
});

function networkOfHost(): string {
  return readlinkSync('/proc/self/ns/net');
}

/** Processes `sleep 61` and `sleep 62` that are alive. */
function runningSleeps(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return /^sleep\0+6[12]\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
      } catch {
        return false;
      }
    });
}
