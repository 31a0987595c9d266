import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  ActionCacheService,
  type ActionResult,
  Directory,
  GetActionResultRequest,
  Tree,
  UpdateActionResultRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, blobOf, digestText, EMPTY_BLOB, freshBlob } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;

/** A tree of a root with one file and one subdirectory with one file. */
function treeOf(file: Blob, deepFile: Blob): Blob {
  const child = Directory.create({ files: [{ name: 'deep', digest: deepFile.digest }] });
  const childBlob = blobOf(Directory.encode(child).finish());
  const root = Directory.create({
    files: [{ name: 'file', digest: file.digest }],
    directories: [{ name: 'sub', digest: childBlob.digest }],
  });
  return blobOf(Tree.encode(Tree.create({ root, children: [child] })).finish());
}

/** A directory of one file, as a Tree and as itself. */
function bothForms(): { readonly tree: Blob; readonly root: Blob; readonly blobs: readonly Blob[] } {
  const file = freshBlob();
  const root = Directory.create({ files: [{ name: 'file', digest: file.digest }] });
  const tree = blobOf(Tree.encode(Tree.create({ root, children: [] })).finish());
  return { tree, root: blobOf(Directory.encode(root).finish()), blobs: [file] };
}

async function result(): Promise<{ output: Blob; stdout: Blob; stderr: Blob; value: ActionResult }> {
  const [output, stdout, stderr] = [freshBlob('output'), freshBlob('stdout'), freshBlob('stderr')];
  await tenant.upload(output, stdout, stderr);
  return {
    output,
    stdout,
    stderr,
    value: {
      ...({} as ActionResult),
      outputFiles: [
        { path: 'out/file', digest: output.digest, isExecutable: true, contents: Buffer.alloc(0) },
      ] as ActionResult['outputFiles'],
      exitCode: 0,
      stdoutDigest: stdout.digest,
      stderrDigest: stderr.digest,
    },
  };
}

describe('ActionCache.GetActionResult', () => {
  it('an action without a result gives NOT_FOUND', async () => {
    const { action } = await tenant.prepare();
    expect((await failure(tenant.getActionResult(action.digest))).code).toBe('NOT_FOUND');
  });

  it('a result that was stored is answered', async () => {
    const { action } = await tenant.prepare();
    const { value, output, stdout, stderr } = await result();
    await tenant.updateActionResult(action.digest, value);
    const found = await tenant.getActionResult(action.digest);
    expect(found.outputFiles.map((each) => [each.path, each.digest, each.isExecutable])).toEqual([
      ['out/file', output.digest, true],
    ]);
    expect([found.stdoutDigest, found.stderrDigest, found.exitCode]).toEqual([stdout.digest, stderr.digest, 0]);
  });

  it('a digest with the hash of a known action and another size gives no result', async () => {
    const { action } = await tenant.prepare();
    await tenant.updateActionResult(action.digest, (await result()).value);
    const other = { hash: action.digest.hash, sizeBytes: action.digest.sizeBytes + 1n };
    expect((await failure(tenant.getActionResult(other))).code).toBe('NOT_FOUND');
  });

  it('nothing is inlined unless asked for', async () => {
    const { action } = await tenant.prepare();
    await tenant.updateActionResult(action.digest, (await result()).value);
    const found = await tenant.getActionResult(action.digest);
    expect([found.stdoutRaw.length, found.stderrRaw.length, found.outputFiles[0]?.contents.length]).toEqual([0, 0, 0]);
  });

  choice('small stdout, stderr and output files are inlined when asked for, beside their digests', async () => {
    const { action } = await tenant.prepare();
    const { value, output, stdout, stderr } = await result();
    await tenant.updateActionResult(action.digest, value);
    const found = await tenant.getActionResult(action.digest, {
      inlineStdout: true,
      inlineStderr: true,
      inlineOutputFiles: ['out/file'],
    });
    expect(found.stdoutRaw).toEqual(stdout.data);
    expect(found.stderrRaw).toEqual(stderr.data);
    expect(found.outputFiles[0]?.contents).toEqual(output.data);
    expect([found.stdoutDigest, found.stderrDigest]).toEqual([stdout.digest, stderr.digest]);
    expect(found.outputFiles[0]?.digest).toEqual(output.digest);
  });

  it('what would make the answer exceed the size of a message is not inlined', async () => {
    const { action } = await tenant.prepare();
    const large = blobOf(Buffer.alloc(5 * 1024 * 1024, randomUUID()));
    await tenant.writeBlob(large);
    await tenant.updateActionResult(action.digest, { stdoutDigest: large.digest });
    const found = await tenant.getActionResult(action.digest, { inlineStdout: true });
    expect(found.stdoutRaw).toHaveLength(0);
    expect(found.stdoutDigest).toEqual(large.digest);
  });

  choice('a path to inline that the result does not have is ignored', async () => {
    const { action } = await tenant.prepare();
    await tenant.updateActionResult(action.digest, (await result()).value);
    const found = await tenant.getActionResult(action.digest, { inlineOutputFiles: ['no/such'] });
    expect(found.outputFiles[0]?.contents).toHaveLength(0);
  });

  choice('an unset action_digest gives INVALID_ARGUMENT that names the field', async () => {
    const call = client.unary(ActionCacheService.getActionResult, GetActionResultRequest.create({ instanceName }));
    const error = await failure(call);
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('action_digest');
  });

  choice('an instance that is not served gives INVALID_ARGUMENT that names the field', async () => {
    const call = client.unary(
      ActionCacheService.getActionResult,
      GetActionResultRequest.create({ instanceName: `no-such-${randomUUID()}`, actionDigest: freshBlob().digest }),
    );
    const error = await failure(call);
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('instance_name');
  });
});

describe('ActionCache.UpdateActionResult', () => {
  it('an equivalent result is answered', async () => {
    const { action } = await tenant.prepare();
    const { value, output } = await result();
    const answer = await tenant.updateActionResult(action.digest, value);
    expect(answer.outputFiles[0]?.digest).toEqual(output.digest);
  });

  it('a later result takes the place of the earlier', async () => {
    const { action } = await tenant.prepare();
    const [first, second] = [await result(), await result()];
    await tenant.updateActionResult(action.digest, first.value);
    await tenant.updateActionResult(action.digest, second.value);
    expect((await tenant.getActionResult(action.digest)).stdoutDigest).toEqual(second.stdout.digest);
  });

  it('output directories and symlinks come back as they were stored', async () => {
    const { action } = await tenant.prepare();
    const [file, deepFile] = [freshBlob(), freshBlob()];
    const tree = treeOf(file, deepFile);
    await tenant.upload(file, deepFile, tree);
    await tenant.updateActionResult(action.digest, {
      outputDirectories: [{ path: 'dir', treeDigest: tree.digest }],
      outputSymlinks: [{ path: 'link', target: 'dir/file' }],
      exitCode: 0,
    });
    const found = await tenant.getActionResult(action.digest);
    expect(found.outputDirectories.map((each) => [each.path, each.treeDigest])).toEqual([['dir', tree.digest]]);
    expect(found.outputSymlinks.map((each) => [each.path, each.target])).toEqual([['link', 'dir/file']]);
  });

  it('a directory as a Tree and as Directories comes back as both', async () => {
    const { tree, root, blobs } = bothForms();
    await tenant.upload(tree, root, ...blobs);
    const { action } = await tenant.prepare();
    const directory = { path: 'dir', treeDigest: tree.digest, rootDirectoryDigest: root.digest };
    await tenant.updateActionResult(action.digest, { outputDirectories: [directory] });
    const found = (await tenant.getActionResult(action.digest)).outputDirectories[0];
    expect([found?.treeDigest, found?.rootDirectoryDigest]).toEqual([tree.digest, root.digest]);
  });

  choice('a root_directory_digest that is not that of the Tree gives INVALID_ARGUMENT', async () => {
    const [one, other] = [bothForms(), bothForms()];
    for (const { tree, root, blobs } of [one, other]) await tenant.upload(tree, root, ...blobs);
    const { action } = await tenant.prepare();
    const directory = { path: 'dir', treeDigest: one.tree.digest, rootDirectoryDigest: other.root.digest };
    const error = await failure(tenant.updateActionResult(action.digest, { outputDirectories: [directory] }));
    expect(error.code).toBe('INVALID_ARGUMENT');
  });

  it('a result of nothing but the empty blob is complete', async () => {
    const { action } = await tenant.prepare();
    await tenant.updateActionResult(action.digest, {
      outputFiles: [{ path: 'empty', digest: EMPTY_BLOB.digest }],
      stdoutDigest: EMPTY_BLOB.digest,
    });
    expect((await tenant.getActionResult(action.digest)).outputFiles).toHaveLength(1);
  });

  choice('an unset result gives INVALID_ARGUMENT that names the field', async () => {
    const { action } = await tenant.prepare();
    const call = client.unary(
      ActionCacheService.updateActionResult,
      UpdateActionResultRequest.create({ instanceName, actionDigest: action.digest }),
    );
    const error = await failure(call);
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('action_result');
  });
});

describe('ActionCache: every blob that a result names is stored, or there is no result', () => {
  const cases: ReadonlyArray<{
    readonly what: string;
    readonly build: (missing: Blob) => Promise<Parameters<typeof tenant.updateActionResult>[1]>;
  }> = [
    {
      what: 'an output file',
      build: async (missing) => ({ outputFiles: [{ path: 'out', digest: missing.digest }] }),
    },
    { what: 'stdout', build: async (missing) => ({ stdoutDigest: missing.digest }) },
    { what: 'stderr', build: async (missing) => ({ stderrDigest: missing.digest }) },
    {
      what: 'the Tree of an output directory',
      build: async (missing) => ({ outputDirectories: [{ path: 'dir', treeDigest: missing.digest }] }),
    },
    {
      what: 'a file in the root of a Tree',
      build: async (missing) => {
        const present = freshBlob();
        const tree = treeOf(missing, present);
        await tenant.upload(present, tree);
        return { outputDirectories: [{ path: 'dir', treeDigest: tree.digest }] };
      },
    },
    {
      what: 'a file deep in a Tree',
      build: async (missing) => {
        const present = freshBlob();
        const tree = treeOf(present, missing);
        await tenant.upload(present, tree);
        return { outputDirectories: [{ path: 'dir', treeDigest: tree.digest }] };
      },
    },
  ];

  for (const { what, build } of cases) {
    it(`a result that lacks ${what} is never answered`, async () => {
      const { action } = await tenant.prepare();
      const missing = freshBlob();
      await tenant.updateActionResult(action.digest, await build(missing)).catch(() => {});
      expect((await failure(tenant.getActionResult(action.digest))).code).toBe('NOT_FOUND');
    });

    choice(`to store a result that lacks ${what} gives FAILED_PRECONDITION that names the blob`, async () => {
      const { action } = await tenant.prepare();
      const missing = freshBlob();
      const error = await failure(tenant.updateActionResult(action.digest, await build(missing)));
      expect(error.code).toBe('FAILED_PRECONDITION');
      expect(error.violations).toEqual([`MISSING blobs/${digestText(missing.digest)}`]);
    });
  }

  choice('all that is missing is named at once', async () => {
    const { action } = await tenant.prepare();
    const missing = [freshBlob(), freshBlob(), freshBlob()] as const;
    const error = await failure(
      tenant.updateActionResult(action.digest, {
        outputFiles: [{ path: 'out', digest: missing[0].digest }],
        stdoutDigest: missing[1].digest,
        stderrDigest: missing[2].digest,
      }),
    );
    expect([...error.violations].sort()).toEqual(
      missing.map((each) => `MISSING blobs/${digestText(each.digest)}`).sort(),
    );
  });
});
