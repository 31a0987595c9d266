import { describe, expect, it } from 'vitest';
import {
  ContentAddressableStorageService,
  type Digest,
  Directory,
  GetTreeRequest,
  type GetTreeResponse,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, blobOf, digestOf, EMPTY_BLOB, freshBlob } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;

function directory(content: Parameters<typeof Directory.create>[0]): Blob {
  return blobOf(Directory.encode(Directory.create(content)).finish());
}

function getTree(
  rootDigest: Digest | undefined,
  request: Parameters<typeof GetTreeRequest.create>[0] = {},
): Promise<GetTreeResponse[]> {
  return client.collect(
    ContentAddressableStorageService.getTree,
    GetTreeRequest.create({ instanceName, ...(rootDigest === undefined ? {} : { rootDigest }), ...request }),
  );
}

function hashes(responses: readonly GetTreeResponse[]): string[] {
  return responses
    .flatMap((each) => each.directories)
    .map((each) => digestOf(Directory.encode(each).finish()).hash)
    .sort();
}

/** A root over `width` subdirectories of one subdirectory each, all different. */
function wideTree(width: number): Blob[] {
  const leaves = Array.from({ length: width }, () =>
    directory({ files: [{ name: 'file', digest: freshBlob().digest }] }),
  );
  const middle = leaves.map((leaf) => directory({ directories: [{ name: 'leaf', digest: leaf.digest }] }));
  const root = directory({
    directories: middle.map((each, i) => ({ name: `d${`${i}`.padStart(6, '0')}`, digest: each.digest })),
  });
  return [root, ...middle, ...leaves];
}

describe('ContentAddressableStorage.GetTree', () => {
  it('a tree gives the root and every directory below it', async () => {
    const tree = wideTree(5);
    await tenant.upload(...tree);
    const responses = await getTree(tree[0]?.digest);
    expect(hashes(responses)).toEqual(tree.map((each) => each.digest.hash).sort());
    expect(responses.at(-1)?.nextPageToken).toBe('');
  });

  it('a directory without subdirectories gives itself', async () => {
    const root = directory({ files: [{ name: 'file', digest: freshBlob().digest, isExecutable: true }] });
    await tenant.upload(root);
    expect(hashes(await getTree(root.digest))).toEqual([root.digest.hash]);
  });

  it('a root that is not stored gives NOT_FOUND', async () => {
    expect((await failure(getTree(freshBlob().digest))).code).toBe('NOT_FOUND');
  });

  it('the hash of a stored directory with another size is not taken for it', async () => {
    const root = directory({ files: [{ name: 'file', digest: freshBlob().digest }] });
    await tenant.upload(root);
    const { code } = await failure(getTree({ ...root.digest, sizeBytes: root.digest.sizeBytes + 1n }));
    expect(['NOT_FOUND', 'INVALID_ARGUMENT']).toContain(code);
  });

  it('what is missing below the root is left out, and the rest comes', async () => {
    const tree = wideTree(4);
    const [root, lost, ...rest] = tree as [Blob, Blob, ...Blob[]];
    await tenant.upload(root, ...rest);
    const found = hashes(await getTree(root.digest));
    expect(found).toContain(root.digest.hash);
    expect(found).toContain(rest[0]?.digest.hash);
    expect(found).not.toContain(lost.digest.hash);
  });

  it('no response has more directories than page_size', async () => {
    const tree = wideTree(10);
    await tenant.upload(...tree);
    const responses = await getTree(tree[0]?.digest, { pageSize: 3 });
    for (const each of responses) expect(each.directories.length).toBeLessThanOrEqual(3);
  });

  it('a page_token goes on where its page ended', async () => {
    const tree = wideTree(10);
    await tenant.upload(...tree);
    const pages: GetTreeResponse[] = [];
    let pageToken = '';
    do {
      const [page] = await getTree(tree[0]?.digest, { pageSize: 4, pageToken });
      if (page === undefined) break;
      pages.push(page);
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && pages.length < 100);
    expect(new Set(hashes(pages))).toEqual(new Set(tree.map((each) => each.digest.hash)));
  });

  it('the empty directory, which need not be stored, gives one empty directory', async () => {
    const responses = await getTree(EMPTY_BLOB.digest);
    expect(responses.flatMap((each) => each.directories)).toEqual([Directory.create()]);
  });

  choice('the pages of one call hold everything once', async () => {
    const tree = wideTree(20);
    await tenant.upload(...tree);
    const responses = await getTree(tree[0]?.digest, { pageSize: 7 });
    expect(hashes(responses)).toEqual(tree.map((each) => each.digest.hash).sort());
  });

  choice('a directory in several places comes once', async () => {
    const shared = directory({ files: [{ name: 'shared', digest: freshBlob().digest }] });
    const root = directory({
      directories: ['a', 'b', 'c'].map((name) => ({ name, digest: shared.digest })),
    });
    await tenant.upload(shared, root);
    expect(hashes(await getTree(root.digest))).toEqual([root.digest.hash, shared.digest.hash].sort());
  });

  choice('a negative page_size gives INVALID_ARGUMENT that names the field', async () => {
    const [root] = wideTree(1) as [Blob];
    await tenant.upload(root);
    const error = await failure(getTree(root.digest, { pageSize: -1 }));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('page_size');
  });

  choice('a page_token that no page gave is INVALID_ARGUMENT that names the field', async () => {
    const [root] = wideTree(1) as [Blob];
    await tenant.upload(root);
    for (const pageToken of ['nonsense', '-1', '999999999', 'AAAA', '\u0000']) {
      const error = await failure(getTree(root.digest, { pageToken }));
      expect(error.code).toBe('INVALID_ARGUMENT');
      expect(error.message).toContain('page_token');
    }
  });

  choice('an unset root gives INVALID_ARGUMENT that names the field', async () => {
    const error = await failure(getTree(undefined));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('root_digest');
  });

  choice('a root that is no Directory gives INVALID_ARGUMENT that names the field', async () => {
    const garbage = freshBlob('\u0007\u00ff');
    await tenant.upload(garbage);
    const error = await failure(getTree(garbage.digest));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('root_digest');
  });

  choice('a chain a thousand directories deep is walked', async () => {
    const chain = [directory({ files: [{ name: 'end', digest: freshBlob().digest }] })];
    for (let i = 0; i < 1_000; i++) {
      chain.push(directory({ directories: [{ name: 'd', digest: (chain.at(-1) as Blob).digest }] }));
    }
    await tenant.upload(...chain);
    expect(hashes(await getTree(chain.at(-1)?.digest))).toHaveLength(1_001);
  });
});
