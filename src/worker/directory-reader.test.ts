import { expect, it } from 'vitest';
import { storeInputs } from '../../test/support/action-builder.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { DEFAULT_TREE_LIMITS } from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import { DirectoryReader } from './directory-reader.ts';

const never = new AbortController().signal;

it('refuses a tree that is too deep without reading it to its end', async () => {
  const blobs = new MemoryBlobStore(1 << 26);
  let reads = 0;
  const readWhole = blobs.readWhole.bind(blobs);
  blobs.readWhole = (digest, signal) => {
    reads += 1;
    return readWhole(digest, signal);
  };
  let tree = {};
  for (let i = 0; i < 2 * DEFAULT_TREE_LIMITS.maxDepth; i += 1) tree = { d: tree };
  await expect(new DirectoryReader(blobs).read(await storeInputs(blobs, tree), never)).rejects.toMatchObject({
    code: StatusCode.INVALID_ARGUMENT,
    message: expect.stringContaining(`more than ${DEFAULT_TREE_LIMITS.maxDepth} directories deep`),
  });
  expect(reads).toBe(DEFAULT_TREE_LIMITS.maxDepth);
});
