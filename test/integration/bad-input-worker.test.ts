import { randomUUID } from 'node:crypto';
import { access, readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Directory, type ExecuteResponse } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ListOperationsRequest, OperationsService } from '../../src/proto/google/longrunning/operations.ts';
import { type Grid, startGrid } from '../support/grid.ts';
import { type ActionOptions, type Blob, blobOf, digestText, freshBlob, Tenant } from '../support/tenant.ts';
import { describeStatus, type Failure, failure, WireClient } from '../support/wire-client.ts';

/**
 * Bad input that only a worker can see, run by the real worker of `warren up`: each ends with a code that says whose
 * fault it is, and leaves nothing outside the action's own folder.
 */
let grid: Grid;
let tenant: Tenant;

beforeAll(async () => {
  grid = await startGrid({ workers: 2 });
  tenant = new Tenant(new WireClient([grid.address]), '');
});

afterAll(async () => {
  tenant?.client.close();
  await grid?.stop();
});

function directory(content: Parameters<typeof Directory.create>[0]): Blob {
  return blobOf(Directory.encode(Directory.create(content)).finish());
}

/** The status with which the execution ends, whether the call was refused or the worker gave up. */
async function outcome(options: ActionOptions): Promise<Failure & { readonly response?: ExecuteResponse }> {
  const { action } = await tenant.prepare(options);
  try {
    const response = await tenant.execute(action.digest, { inlineStdout: true, inlineStderr: true }).finish();
    return { ...describeStatus(response.status), response };
  } catch (error) {
    return failure(Promise.reject(error));
  }
}

function shell(script: string, rest: ActionOptions['command'] = {}): ActionOptions['command'] {
  return { arguments: ['/bin/sh', '-c', script], ...rest };
}

const file = freshBlob('file');
const leaf = directory({ files: [{ name: 'f', digest: file.digest }] });

describe('an input tree that cannot be', () => {
  const cases: ReadonlyArray<readonly [what: string, content: Parameters<typeof Directory.create>[0], hint: RegExp]> = [
    ['a file name with a slash', { files: [{ name: 'a/b', digest: file.digest }] }, /a\/b/],
    ['an absolute file name', { files: [{ name: '/etc/x', digest: file.digest }] }, /\/etc\/x/],
    ['a file name of two dots', { files: [{ name: '..', digest: file.digest }] }, /\.\./],
    ['a file name of one dot', { files: [{ name: '.', digest: file.digest }] }, /name/],
    ['an empty file name', { files: [{ name: '', digest: file.digest }] }, /name/],
    ['a file name with a NUL', { files: [{ name: 'a\u0000b', digest: file.digest }] }, /name/],
    ['a directory name that climbs', { directories: [{ name: '../up', digest: leaf.digest }] }, /\.\.\/up/],
    ['a symlink name that climbs', { symlinks: [{ name: '../link', target: 'f' }] }, /\.\.\/link/],
    [
      'two files of one name',
      {
        files: [
          { name: 'a', digest: file.digest },
          { name: 'a', digest: file.digest },
        ],
      },
      /a/,
    ],
    [
      'a file and a directory of one name',
      { files: [{ name: 'a', digest: file.digest }], directories: [{ name: 'a', digest: leaf.digest }] },
      /a/,
    ],
    [
      'files that are not sorted',
      {
        files: [
          { name: 'b', digest: file.digest },
          { name: 'a', digest: file.digest },
        ],
      },
      /sort|order/i,
    ],
    [
      'directories that are not sorted',
      {
        directories: [
          { name: 'b', digest: leaf.digest },
          { name: 'a', digest: leaf.digest },
        ],
      },
      /sort|order/i,
    ],
    [
      'symlinks that are not sorted',
      {
        symlinks: [
          { name: 'b', target: 'x' },
          { name: 'a', target: 'x' },
        ],
      },
      /sort|order/i,
    ],
    ['a symlink without a target', { symlinks: [{ name: 'a', target: '' }] }, /target/],
    ['a file without a digest', { files: [{ name: 'a' }] }, /digest/],
    [
      'a file whose digest cannot be',
      { files: [{ name: 'a', digest: { hash: 'xyz', sizeBytes: 1n } }] },
      /hash|digest/,
    ],
  ];
  for (const [what, content, hint] of cases) {
    it(`${what} gives INVALID_ARGUMENT that names it, and nothing runs`, async () => {
      const error = await outcome({ inputRoot: content, blobs: [file, leaf], command: shell('echo ran') });
      expect(error.code).toBe('INVALID_ARGUMENT');
      expect(error.message).toMatch(hint);
    });
  }

  it('bytes that are no Directory give INVALID_ARGUMENT', async () => {
    const garbage = freshBlob('\u0007\u00ff');
    const error = await outcome({
      action: { inputRootDigest: garbage.digest },
      blobs: [garbage],
      command: shell('echo ran'),
    });
    expect(error.code).toBe('INVALID_ARGUMENT');
  });

  it('what is missing anywhere in the tree is named all at once, as FAILED_PRECONDITION with MISSING', async () => {
    const [lostFile, lostDeepFile] = [freshBlob(), freshBlob()];
    const lostDirectory = directory({ files: [{ name: 'x', digest: freshBlob().digest }] });
    const middle = directory({ files: [{ name: 'deep', digest: lostDeepFile.digest }] });
    const error = await outcome({
      inputRoot: {
        files: [{ name: 'lost', digest: lostFile.digest }],
        directories: [
          { name: 'gone', digest: lostDirectory.digest },
          { name: 'middle', digest: middle.digest },
        ],
      },
      blobs: [middle],
      command: shell('echo ran'),
    });
    expect(error.code).toBe('FAILED_PRECONDITION');
    expect([...error.violations].sort()).toEqual(
      [lostFile, lostDeepFile, lostDirectory].map((each) => `MISSING blobs/${digestText(each.digest)}`).sort(),
    );
  });

  it('a tree that is far too deep ends with an answer', async () => {
    let below = leaf;
    const chain: Blob[] = [];
    for (let i = 0; i < 2_000; i++) {
      below = directory({ directories: [{ name: 'd', digest: below.digest }] });
      chain.push(below);
    }
    const error = await outcome({
      action: { inputRootDigest: below.digest },
      blobs: [file, leaf, ...chain],
      command: shell('true'),
    });
    expect(['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'RESOURCE_EXHAUSTED']).toContain(error.code);
  });

  it('a tree that unfolds to more than anyone could stage ends with an answer', async () => {
    let below = leaf;
    const levels: Blob[] = [];
    for (let i = 0; i < 30; i++) {
      below = directory({
        directories: [
          { name: 'a', digest: below.digest },
          { name: 'b', digest: below.digest },
        ],
      });
      levels.push(below);
    }
    const error = await outcome({
      action: { inputRootDigest: below.digest },
      blobs: [file, leaf, ...levels],
      command: shell('true'),
    });
    expect(['INVALID_ARGUMENT', 'FAILED_PRECONDITION', 'RESOURCE_EXHAUSTED']).toContain(error.code);
  });
});

describe('symlinks that escape', () => {
  it('an input symlink that leads out and a file below it: nothing is written outside', async () => {
    const target = `/tmp/warren-escape-${randomUUID()}`;
    const below = directory({ files: [{ name: 'planted', digest: file.digest }] });
    const error = await outcome({
      inputRoot: {
        directories: [{ name: 'link', digest: below.digest }],
        symlinks: [{ name: 'link', target }],
      },
      blobs: [file, below],
      command: shell('true'),
    });
    expect(error.code).toBe('INVALID_ARGUMENT');
    await expect(access(target)).rejects.toThrow('ENOENT');
  });

  it('an output below a symlink that the action made to the outside is not collected', async () => {
    const error = await outcome({
      command: shell('ln -s /etc link', { outputPaths: ['link/passwd'] }),
    });
    expect(error.response?.result?.outputFiles ?? []).toEqual([]);
  });

  it('an output that is a symlink to the outside comes back as a symlink or is refused, never as what it leads to', async () => {
    const error = await outcome({
      command: shell('ln -s /etc/passwd out', { outputPaths: ['out'] }),
    });
    expect(error.response?.result?.outputFiles ?? []).toEqual([]);
  });

  it('a directory of outputs does not follow symlinks to the outside', async () => {
    const error = await outcome({
      command: shell('mkdir out && ln -s ../../../../../../../../etc out/etc', { outputPaths: ['out'] }),
    });
    const outputs = error.response?.result?.outputDirectories ?? [];
    for (const { treeDigest } of outputs) {
      const [tree] = treeDigest === undefined ? [] : await tenant.batchRead(treeDigest);
      expect(tree?.data.includes('passwd')).toBe(false);
    }
  });

  it('a cycle of symlinks among the outputs ends with an answer', async () => {
    const error = await outcome({
      command: shell('mkdir out && ln -s . out/self && ln -s b out/a && ln -s a out/b', { outputPaths: ['out'] }),
    });
    expect(['OK', 'FAILED_PRECONDITION', 'INVALID_ARGUMENT']).toContain(error.code);
  });
});

describe('what an action does to its surroundings', () => {
  it('an input that the action overwrites is whole for the next action', async () => {
    const precious = freshBlob('precious');
    const inputRoot = { files: [{ name: 'in', digest: precious.digest }] };
    await outcome({ inputRoot, blobs: [precious], command: shell('chmod u+w in; echo harm > in || true') });
    const next = await outcome({ inputRoot, blobs: [precious], command: shell('cat in') });
    expect(next.response?.result?.stdoutRaw.toString()).toBe(precious.data.toString());
    expect(await tenant.read(tenant.readName(precious.digest))).toEqual(precious.data);
  });

  it('an output that is a FIFO is refused or left out, and does not hang', async () => {
    const error = await outcome({ command: shell('mkfifo out', { outputPaths: ['out'] }) });
    expect(error.response?.result?.outputFiles ?? []).toEqual([]);
  });

  it('a program that is not there is the fault of the action', async () => {
    const error = await outcome({ command: { arguments: ['/no/such/program'] } });
    const failed = error.code !== 'OK' || error.response?.result?.exitCode !== 0;
    expect(failed).toBe(true);
    expect(['OK', 'INVALID_ARGUMENT', 'FAILED_PRECONDITION']).toContain(error.code);
  });

  it('a working directory that is not in the input tree is the fault of the action', async () => {
    const error = await outcome({ command: shell('pwd', { workingDirectory: 'no/such' }) });
    expect(['INVALID_ARGUMENT', 'FAILED_PRECONDITION']).toContain(error.code);
  });

  it('a timeout kills the action and all its children, and says DEADLINE_EXCEEDED', async () => {
    const mark = `warren-sleeper-${randomUUID()}`;
    const error = await outcome({
      action: { timeout: { seconds: 1n, nanos: 0 } },
      command: shell(`echo before; sh -c 'sleep 120; : ${mark}' & sleep 120; : ${mark}`),
    });
    expect(error.code).toBe('DEADLINE_EXCEEDED');
    await expect.poll(() => processesWith(mark), { timeout: 5_000 }).toEqual([]);
  });
});

describe('a platform that no worker has', () => {
  it('ends with FAILED_PRECONDITION that names the property, instead of waiting for ever', async () => {
    const error = await outcome({
      action: { platform: { properties: [{ name: 'OSFamily', value: 'plan9' }] } },
      command: shell('true'),
    });
    expect(error.code).toBe('FAILED_PRECONDITION');
    expect(`${error.message} ${error.violations.join()}`).toContain('OSFamily=plan9');
  });
});

describe('after all that', () => {
  it('no operation is unfinished', async () => {
    const { operations } = await tenant.client.unary(
      OperationsService.listOperations,
      ListOperationsRequest.create({ name: '', filter: '' }),
    );
    expect(operations).toEqual([]);
  });

  it('a good action still runs', async () => {
    const { response, code } = await outcome({ command: shell('echo fine') });
    expect([code, response?.result?.stdoutRaw.toString()]).toEqual(['OK', 'fine\n']);
  });
});

async function processesWith(mark: string): Promise<string[]> {
  const { readFile } = await import('node:fs/promises');
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (commandLine.includes(mark)) found.push(pid);
  }
  return found;
}
