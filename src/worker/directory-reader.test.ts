import { beforeEach, describe, expect, it } from 'vitest';
import { type InputTree, storeInputs } from '../../test/support/action-builder.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import type { Digest } from '../domain/digest.ts';
import { DEFAULT_TREE_LIMITS } from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { TreeClient } from '../ports/tree-client.ts';
import { DirectoryReader } from './directory-reader.ts';

const never = new AbortController().signal;

let blobs: MemoryBlobStore;
/** What was read one by one. */
let reads: string[];

beforeEach(() => {
  blobs = new MemoryBlobStore(1 << 26);
  reads = [];
  const readWhole = blobs.readWhole.bind(blobs);
  blobs.readWhole = (digest, signal) => {
    reads.push(digest.hash);
    return readWhole(digest, signal);
  };
});

/** A server that gives these blobs for any tree, and counts how often it was asked. */
class FakeTreeClient implements TreeClient {
  calls = 0;
  readonly #digests: readonly Digest[];

  constructor(...digests: readonly Digest[]) {
    this.#digests = digests;
  }

  async *readTree(_rootDigest: Digest, signal: AbortSignal): AsyncIterable<Uint8Array> {
    this.calls += 1;
    for (const digest of this.#digests) {
      const bytes = await blobs.readWhole(digest, signal);
      reads.pop();
      yield bytes;
    }
  }
}

describe('the DirectoryReader', () => {
  it('refuses a tree that is too deep without reading it to its end', async () => {
    let tree = {};
    for (let i = 0; i < 2 * DEFAULT_TREE_LIMITS.maxDepth; i += 1) tree = { d: tree };
    await expect(new DirectoryReader(blobs).read(await storeInputs(blobs, tree), never)).rejects.toMatchObject({
      code: StatusCode.INVALID_ARGUMENT,
      message: expect.stringContaining(`more than ${DEFAULT_TREE_LIMITS.maxDepth} directories deep`),
    });
    expect(reads).toHaveLength(DEFAULT_TREE_LIMITS.maxDepth);
  });

  it('takes a tree from one call, and knows it from then on', async () => {
    const [inner, root] = [await storeInputs(blobs, { a: 'x' }), await storeInputs(blobs, { d: { a: 'x' } })];
    const trees = new FakeTreeClient(root, inner);
    const reader = new DirectoryReader(blobs, trees);
    expect((await reader.read(root, never)).directories.size).toBe(2);
    expect((await reader.read(root, never)).tree).toBeDefined();
    expect([reads, trees.calls]).toEqual([[], 1]);
  });

  it('reads one by one what the call does not bring, and tells what is missing of it', async () => {
    const tree: InputTree = { known: { a: 'x' }, lost: { b: 'y' } };
    const [lost, root] = [await storeInputs(blobs, { b: 'y' }), await storeInputs(blobs, tree)];
    await blobs.delete(lost, never);
    const { missing } = await new DirectoryReader(blobs, new FakeTreeClient(root)).read(root, never);
    expect(missing).toEqual([lost]);
    expect(reads).toHaveLength(2);
  });

  it('does without the call where the server has none', async () => {
    const root = await storeInputs(blobs, { d: { a: 'x' } });
    const trees: TreeClient = {
      readTree: () => {
        throw new StatusError(StatusCode.UNIMPLEMENTED, 'no such call');
      },
    };
    expect((await new DirectoryReader(blobs, trees).read(root, never)).directories.size).toBe(2);
  });

  it('believes no directory that is not the one that was asked for', async () => {
    const [root, other] = [await storeInputs(blobs, { d: { a: 'x' } }), await storeInputs(blobs, { evil: 'z' })];
    const { directories } = await new DirectoryReader(blobs, new FakeTreeClient(other)).read(root, never);
    expect([...directories.values()].flatMap(({ files }) => files.map(({ name }) => name))).toEqual(['a']);
  });

  it('asks for a tree level by level when the one before was large', async () => {
    const wide = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`d${i}`, { [`f${i}`]: 'x' }]));
    const [large, small] = [await storeInputs(blobs, wide), await storeInputs(blobs, { d: { a: 'x' } })];
    const trees = new FakeTreeClient(large);
    const reader = new DirectoryReader(blobs, trees);
    await reader.read(large, never);
    await reader.read(small, never);
    expect(trees.calls).toBe(1);
  });
});
