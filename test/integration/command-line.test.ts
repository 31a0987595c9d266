import { lstat, mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type CommandLineOutcome, commandLine, startCommandLine } from '../support/command-line.ts';
import { DelayingProxy } from '../support/delaying-proxy.ts';
import { type Grid, startGrid } from '../support/grid.ts';

/** The command line, command by command, against `warren up` with its own worker. */
let grid: Grid;
let folder: string;
let salt = 0;

interface Run {
  readonly actionDigest: string;
  readonly operation?: string;
  readonly cached: boolean;
  readonly result?: { readonly exitCode: number; readonly stdout?: { readonly text: string } };
}

interface Listed {
  readonly name: string;
  readonly stage: string;
  readonly actionDigest: string;
  readonly error?: { readonly code: string };
}

beforeAll(async () => {
  grid = await startGrid({ workers: 2 });
});
afterAll(() => grid?.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-command-line-'));
});
afterEach(() => rm(folder, { recursive: true }));

const warren = (...args: readonly string[]): Promise<CommandLineOutcome> => commandLine(grid.address, ...args);

/** A script that no other test runs, so that no other test's result is taken for its own. */
const fresh = (script: string) => `: ${process.pid}-${salt++}; ${script}`;

const exec = (...args: readonly string[]) => warren('exec', '--output-dir', join(folder, 'out'), ...args);

/** Runs `probe` until it gives something. The test's own time limit is the limit. */
async function eventually<T>(probe: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The operation that runs this action, once it does. */
function executing(actionDigest: string): Promise<Listed> {
  return eventually(async () => {
    const listed = (await warren('operation', 'list', '--json')).json() as Listed[];
    return listed.find((each) => each.actionDigest === actionDigest && each.stage === 'EXECUTING');
  });
}

describe('exec', () => {
  test('prints what the command prints, and ends with its exit code', async () => {
    const { exitCode, stdout, stderr } = await exec('--', 'sh', '-c', fresh('echo out; echo err >&2; exit 7'));
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 7, stdout: 'out\n', stderr: 'err\n' });
  });

  test('prints output that is too long to travel with the result', async () => {
    const { stdout } = await exec('--', 'sh', '-c', fresh("head -c 3000000 /dev/zero | tr '\\0' x"));
    expect(stdout).toHaveLength(3_000_000);
  });

  test('brings inputs there and outputs back', async () => {
    await mkdir(join(folder, 'in'));
    await writeFile(join(folder, 'in/a'), 'content of a');
    await symlink('a', join(folder, 'in/link'));
    const script =
      'mkdir -p made/deep; cat in/link > made/deep/copy; ln -s deep/copy made/link; cp in/a tool; chmod +x tool';
    const inputs = ['--input', `${join(folder, 'in')}=in`];
    const outputs = ['made', 'tool', 'never'].flatMap((each) => ['--output', each]);
    const { exitCode, stderr } = await exec(...inputs, ...outputs, '--', 'sh', '-c', fresh(script));
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(await readFile(join(folder, 'out/made/deep/copy'), 'utf8')).toBe('content of a');
    expect(await readlink(join(folder, 'out/made/link'))).toBe('deep/copy');
    expect((await lstat(join(folder, 'out/tool'))).mode & 0o111).not.toBe(0);
  });

  test('sets the environment and the working directory', async () => {
    const options = ['--env', 'GREETING=hello', '--working-directory', 'a/b'];
    const { stdout } = await exec(...options, '--', 'sh', '-c', fresh('echo $GREETING; basename $PWD'));
    expect(stdout).toBe('hello\nb\n');
  });

  test('is answered from the cache when the action is known, unless told otherwise', async () => {
    const command = ['--', 'sh', '-c', fresh('echo once')];
    const first = (await exec('--json', ...command)).json() as Run;
    const second = (await exec('--json', ...command)).json() as Run;
    const third = (await exec('--json', '--no-cache', ...command)).json() as Run;
    expect([first.cached, second.cached, third.cached]).toEqual([false, true, false]);
    expect(second.operation).toBeUndefined();
    expect(second.result?.stdout?.text).toBe('once\n');
    expect(second.actionDigest).toBe(first.actionDigest);
  });

  test('says that the command timed out, and shows what it had printed', async () => {
    const { exitCode, stdout, stderr } = await exec(
      '--timeout',
      '0.5',
      '--',
      'sh',
      '-c',
      fresh('echo begun; sleep 60'),
    );
    expect({ exitCode, stdout }).toEqual({ exitCode: 124, stdout: 'begun\n' });
    expect(stderr).toContain('timed out');
  });

  test('tells a command that could not be run from one that failed', async () => {
    const { exitCode, stderr } = await exec('--input', join(folder, 'absent'), '--', 'true');
    expect(exitCode).toBe(125);
    expect(stderr).toBe(`warren: ${join(folder, 'absent')} does not exist\n`);
  });

  test('says where the time went', async () => {
    const { stderr } = await exec('--verbose', '--', 'sh', '-c', fresh('true'));
    for (const phase of ['uploaded inputs', 'waited in the queue', 'ran', 'in all']) expect(stderr).toContain(phase);
  });

  test('cancels the operation on Ctrl-C', async () => {
    const command = ['--', 'sh', '-c', fresh('sleep 60')];
    const run = startCommandLine(grid.address, 'exec', ...command);
    const operation = await eventually(async () => {
      const listed = (await warren('operation', 'list', '--json')).json() as Listed[];
      return listed.find(({ stage }) => stage === 'EXECUTING');
    });
    run.interrupt();
    expect((await run.outcome).exitCode).toBe(130);
    const ended = await warren('operation', 'wait', operation.name, '--json');
    expect((ended.json() as Listed).error?.code).toBe('CANCELLED');
  });

  test('goes on waiting when its connection breaks', async () => {
    const proxy = new DelayingProxy({ targetPort: Number(grid.address.split(':')[1]), delayMilliseconds: 0 });
    const port = await proxy.listen();
    const script = fresh('sleep 1.5; echo done');
    const run = startCommandLine(`127.0.0.1:${port}`, 'exec', '--json', '--', 'sh', '-c', script);
    const { name } = await eventually(async () => {
      const listed = (await warren('operation', 'list', '--json')).json() as Listed[];
      return listed.find(({ stage }) => stage === 'EXECUTING');
    });
    proxy.breakConnections();
    const outcome = await run.outcome;
    expect(outcome).toMatchObject({ exitCode: 0, stderr: '' });
    expect(outcome.json() as Run).toMatchObject({ operation: name, result: { stdout: { text: 'done\n' } } });
    await proxy.close();
  });
});

describe('operation', () => {
  test('shows, awaits and cancels', async () => {
    const run = startCommandLine(grid.address, 'exec', '--json', '--', 'sh', '-c', fresh('sleep 60'));
    const { name, actionDigest } = await eventually(async () => {
      const listed = (await warren('operation', 'list', '--json')).json() as Listed[];
      return listed.find(({ stage }) => stage === 'EXECUTING');
    });
    expect(await executing(actionDigest)).toMatchObject({ name });
    expect((await warren('operation', 'list')).stdout).toContain(name);
    expect((await warren('operation', 'show', name)).stdout).toContain('EXECUTING');
    const impatient = await warren('operation', 'wait', name, '--timeout', '0.1');
    expect(impatient).toMatchObject({ exitCode: 1, stderr: 'warren: it has not ended yet\n' });
    expect((await warren('operation', 'cancel', name)).stdout).toBe(`cancelled ${name}\n`);
    expect((await run.outcome).exitCode).toBe(125);
    expect(
      ((await warren('operation', 'list', '--all', '--json')).json() as Listed[]).map((each) => each.name),
    ).toContain(name);
  });

  test('says that an operation is not known', async () => {
    const { exitCode, stderr } = await warren('operation', 'show', 'nothing');
    expect(exitCode).toBe(1);
    expect(stderr).toContain("'nothing' is not known");
  });
});

describe('action-cache', () => {
  test('shows the result of a known action', async () => {
    const { actionDigest } = (await exec('--json', '--', 'sh', '-c', fresh('echo known; exit 0'))).json() as Run;
    const got = await warren('action-cache', 'get', actionDigest, '--json');
    expect(got.json()).toMatchObject({ exitCode: 0, stdout: { text: 'known\n' } });
    expect((await warren('action-cache', 'get', actionDigest)).stdout).toContain('exit code');
  });

  test('says that nothing is known of an action', async () => {
    const { exitCode, stderr } = await warren('action-cache', 'get', `${'0'.repeat(64)}/3`);
    expect(exitCode).toBe(1);
    expect(stderr).toContain('is cached');
  });
});

describe('cas', () => {
  test('brings a folder there and back', async () => {
    const source = join(folder, 'source');
    await mkdir(join(source, 'deep'), { recursive: true });
    await writeFile(join(source, 'small'), 'small');
    await writeFile(join(source, 'deep/large'), Buffer.alloc(5 << 20, 'large'));
    await symlink('deep/large', join(source, 'link'));
    const uploaded = await warren('cas', 'upload', source);
    expect(uploaded).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/^uploaded /) });
    const [digest = ''] = uploaded.stdout.split(' ');
    expect((await warren('cas', 'digest', source)).stdout).toBe(uploaded.stdout);
    const again = await warren('cas', 'upload', source);
    expect(again.stderr).toContain('uploaded 0 blobs');

    const copy = join(folder, 'copy');
    const downloaded = await warren('cas', 'download', '--directory', digest, copy);
    expect(downloaded).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/^downloaded /) });
    expect((await readFile(join(copy, 'deep/large'))).equals(await readFile(join(source, 'deep/large')))).toBe(true);
    expect(await readlink(join(copy, 'link'))).toBe('deep/large');

    const shown = await warren('cas', 'show', 'directory', digest, '--recursive', '--json');
    expect((shown.json() as { files: Array<{ path: string }> }).files.map(({ path }) => path)).toEqual([
      'small',
      'deep/large',
    ]);
    expect((await warren('cas', 'show', 'directory', digest)).stdout).toMatch(
      /deep\/.*\nsmall .*\nlink +-> deep\/large/s,
    );
  });

  test('brings a file back, or prints it', async () => {
    await writeFile(join(folder, 'f'), 'a file');
    const [digest = ''] = (await warren('cas', 'upload', join(folder, 'f'))).stdout.split(' ');
    expect((await warren('cas', 'download', digest, '-')).stdout).toBe('a file');
    await warren('cas', 'download', '--executable', digest, join(folder, 'g'));
    expect(await readFile(join(folder, 'g'), 'utf8')).toBe('a file');
  });

  test('shows an action with its command, and the tree of an output', async () => {
    const run = (
      await exec('--json', '--output', 'd', '--timeout', '9', '--', 'sh', '-c', fresh('mkdir d; echo x > d/f'))
    ).json() as Run & { result: { outputDirectories: Array<{ treeDigest: string }> } };
    expect((await warren('cas', 'show', 'action', run.actionDigest)).stdout).toMatch(
      /timeout +9 s.*command +sh -c .*output +d/s,
    );
    const tree = run.result.outputDirectories[0]?.treeDigest ?? '';
    expect((await warren('cas', 'show', 'tree', tree)).stdout).toMatch(/^f +[0-9a-f]{64}\/2\n$/);
    await warren('cas', 'download', '--tree', tree, join(folder, 'tree'));
    expect(await readFile(join(folder, 'tree/f'), 'utf8')).toBe('x\n');
  });

  test('says which blob is not stored', async () => {
    const { exitCode, stderr } = await warren('cas', 'show', 'action', `${'1'.repeat(64)}/3`);
    expect(exitCode).toBe(1);
    expect(stderr).toBe(`warren: Action ${'1'.repeat(64)}/3 is not stored\n`);
  });
});

describe('asset', () => {
  const uri = () => `urn:test:${process.pid}:${salt++}`;

  test('names a file and a folder by URI, and brings them back', async () => {
    const source = join(folder, 'source');
    await mkdir(source);
    await writeFile(join(source, 'f'), 'a file');
    const uploaded = (await warren('cas', 'upload', join(source, 'f'), source)).stdout.split('\n');
    const [file = '', root = ''] = uploaded.map((line) => line.split(' ')[0] ?? '');
    const [fileUri, folderUri] = [uri(), uri()];
    const qualified = ['--qualifier', 'vcs.commit=b5123b1', '--qualifier', 'colour=blue=green'];
    expect((await warren('asset', 'push', fileUri, file, ...qualified)).stdout).toBe(`${fileUri} is ${file}\n`);
    await warren('asset', 'push', folderUri, root, '--directory', '--expires', '3600');

    const found = (await warren('asset', 'fetch', uri(), fileUri, ...qualified, '--json')).json();
    const qualifiers = [
      { name: 'vcs.commit', value: 'b5123b1' },
      { name: 'colour', value: 'blue=green' },
    ];
    expect(found).toEqual({ digest: file, uri: fileUri, qualifiers });
    expect((await warren('asset', 'fetch', fileUri, ...qualified, '--output', '-')).stdout).toBe('a file');
    const copy = join(folder, 'copy');
    const fetched = await warren('asset', 'fetch', folderUri, '--directory', '--output', copy);
    expect(fetched.stdout).toMatch(new RegExp(`^digest +${root}\nuri +${folderUri}\nexpires at +20.*\n$`));
    expect(await readFile(join(copy, 'f'), 'utf8')).toBe('a file');
  });

  test('says that nobody pushed it, and that an address may not be asked', async () => {
    const unknown = await warren('asset', 'fetch', 'urn:never:pushed');
    expect(unknown.exitCode).toBe(1);
    expect(unknown.stderr).toMatch(/^warren: NOT_FOUND: urn:never:pushed: /);
    const forbidden = await warren('asset', 'fetch', 'http://127.0.0.1:1/');
    expect(forbidden.exitCode).toBe(1);
    expect(forbidden.stderr).toContain('PERMISSION_DENIED: http://127.0.0.1:1/');
  });

  test('says which blob is not stored', async () => {
    const { exitCode, stderr } = await warren('asset', 'push', uri(), `${'1'.repeat(64)}/3`);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`blobs/${'1'.repeat(64)}/3`);
  });
});

test('bots are listed', async () => {
  const bots = (await warren('bots', 'list', '--json')).json() as Array<{ status: string; capacity: number }>;
  // Two that run, and one more prefetched for each.
  expect(bots).toMatchObject([{ status: 'OK', capacity: 4 }]);
  expect((await warren('bots', 'list')).stdout).toMatch(/^BOT +STATUS +LEASES.*\n.* ok +\d of 4/);
});

test('bots are drained by a pattern, and given work again', async () => {
  await warren('bots', 'drain', '*', '--comment', 'new kernel');
  expect((await warren('bots', 'drains', '--json')).json()).toEqual([{ pattern: '*', comment: 'new kernel' }]);
  expect((await warren('bots', 'drains')).stdout).toMatch(/^PATTERN +COMMENT\n\* +new kernel\n$/);
  expect((await warren('bots', 'list')).stdout).toContain('drained');
  expect((await warren('bots', 'undrain', '*')).stdout).toBe('undrained *\n');
  expect((await warren('bots', 'drains')).stderr).toBe('no bot is drained\n');
  const { exitCode, stderr } = await warren('bots', 'undrain', '*');
  expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: "warren: NOT_FOUND: no drain has the pattern '*'\n" });
});

test('a paused queue holds its work back, says why, and hands it out once it is resumed', async () => {
  expect((await warren('queue', 'pause', 'none')).stdout).toBe('paused none\n');
  const run = startCommandLine(grid.address, 'exec', '--', 'sh', '-c', fresh('echo resumed'));
  const waiting = await eventually(async () => {
    const [queue] = (await warren('queue', 'list', '--json')).json() as Array<{ waitingJobs: number }>;
    return queue?.waitingJobs === 1 ? queue : undefined;
  });
  expect(waiting).toMatchObject({ requirement: '', paused: true, fittingBots: 1, reason: 'the queue is paused' });
  expect((await warren('queue', 'list')).stdout).toMatch(/^QUEUE +STATE .*\nnone +paused +1 .* the queue is paused\n/);
  expect((await warren('queue', 'show', 'none')).stdout).toMatch(/jobs that wait +1\n/);
  await warren('queue', 'resume', 'none');
  expect((await run.outcome).stdout).toBe('resumed\n');
});

test('a job that no bot could run is a dead letter, which is executed again, and dropped', async () => {
  const run = warren('exec', '--platform', 'ISA=never', '--', 'sh', '-c', fresh('true'));
  expect((await run).exitCode).toBe(125);
  const list = async () => (await warren('dead-letters', 'list', '--json')).json() as Array<{ jobId: string }>;
  const [letter] = await list();
  expect(letter).toMatchObject({ requirement: 'ISA=never', reason: expect.stringContaining('ISA=never') });
  const resent = await warren('dead-letters', 'resend', letter?.jobId ?? '');
  expect(resent.stdout).toBe(`sent again ${letter?.jobId}\n`);
  const [operation] = await eventually(async () => {
    const listed = (await warren('operation', 'list', '--json')).json() as Listed[];
    return listed.length > 0 ? listed : undefined;
  });
  expect(operation?.stage).toBe('QUEUED');
  const again = await eventually(async () => (await list())[0]);
  expect(again.jobId).not.toBe(letter?.jobId);
  expect((await warren('dead-letters', 'list')).stdout).toMatch(/^JOB +DIED +ACTION +REASON\n.*ISA=never/);
  expect((await warren('dead-letters', 'drop', '--all')).stdout).toBe(`dropped ${again.jobId}\n`);
  expect((await warren('dead-letters', 'list')).stderr).toBe('there is no dead letter\n');
});

test.each([[['resend']], [['drop', '--all', 'x']]])('which dead letters is said by %j', async (args) => {
  const { exitCode, stderr } = await warren('dead-letters', ...args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: 'warren: name jobs, or say --all\n' });
});

test.each([
  ['pause', 'ISA'],
  ['show', 'a=b=c'],
])('a queue that can be none is refused: %s %s', async (verb, queue) => {
  const { exitCode, stderr } = await warren('queue', verb, queue);
  expect(exitCode).toBe(2);
  expect(stderr).toContain('NAME=VALUE;NAME=VALUE');
});

test('capabilities are shown', async () => {
  expect((await warren('capabilities')).stdout).toMatch(/^API +2\.0 to 2\.\d+\nexecution +yes/);
  expect((await warren('capabilities')).stdout).toMatch(
    /^chunking +FastCDC 2020 \(average 512 KiB\), RepMaxCDC \(.*\)$/m,
  );
  expect((await warren('capabilities', '--json')).json()).toMatchObject({
    cache: { chunking: { repMaxCdc: { minimumBytes: 262_144, horizonBytes: 2_097_152 } } },
    execution: { enabled: true },
  });
});

describe('a command that can do nothing', () => {
  test.each([['capabilities'], ['bots', 'list'], ['operation', 'list']])(
    'says that no server is there: %s %s',
    async (...args) => {
      const { exitCode, stderr } = await commandLine('127.0.0.1:1', ...args);
      expect(exitCode).toBe(4);
      expect(stderr).toMatch(/^warren: cannot reach the server at grpc:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)\..*\n$/);
    },
  );

  test('says how an address is written', async () => {
    const { exitCode, stderr } = await warren('capabilities', '--remote', 'nowhere');
    expect(exitCode).toBe(2);
    expect(stderr).toContain('write grpc://HOST:PORT');
  });

  test('says which instances there are', async () => {
    const { exitCode, stderr } = await warren('capabilities', '--instance', 'nowhere');
    expect(exitCode).toBe(1);
    expect(stderr).toContain("instance 'nowhere' is not served here");
  });
});

/** What talks to a server, and so takes the options that all of these share. */
const REMOTE_COMMANDS: ReadonlyArray<readonly string[]> = [
  ['exec'],
  ...['upload', 'download'].map((each) => ['cas', each]),
  ...['action', 'command', 'directory', 'tree'].map((each) => ['cas', 'show', each]),
  ['action-cache', 'get'],
  ['asset', 'fetch'],
  ['asset', 'push'],
  ...['list', 'show', 'wait', 'log', 'cancel'].map((each) => ['operation', each]),
  ...['list', 'drain', 'undrain', 'drains'].map((each) => ['bots', each]),
  ...['list', 'show', 'pause', 'resume'].map((each) => ['queue', each]),
  ...['list', 'resend', 'drop'].map((each) => ['dead-letters', each]),
  ['health'],
  ['clean'],
  ['index', 'check'],
  ['index', 'rebuild'],
  ['capabilities'],
];

const OTHER_COMMANDS: ReadonlyArray<readonly string[]> = [
  ['up'],
  ['serve'],
  ['worker'],
  ['config'],
  ...['check', 'show', 'schema'].map((each) => ['config', each]),
  ['cas'],
  ['cas', 'digest'],
  ['cas', 'show'],
  ...['action-cache', 'asset', 'operation', 'bots', 'queue', 'dead-letters', 'index'].map((each) => [each]),
];

test.each([...REMOTE_COMMANDS, ...OTHER_COMMANDS].map((each) => [each.join(' '), each] as const))(
  'the help of %s ends with an example',
  async (_, args) => {
    const { exitCode, stdout } = await warren(...args, '--help');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/Examples?:\n( {2}warren .*\n)+$/);
  },
);

test.each(REMOTE_COMMANDS.map((each) => [each.join(' '), each] as const))(
  '%s takes --remote, --instance and --json',
  async (_, args) => {
    const { stdout } = await warren(...args, '--help');
    for (const option of ['--remote <address>', '--instance <name>', '--json']) expect(stdout).toContain(`  ${option}`);
  },
);
