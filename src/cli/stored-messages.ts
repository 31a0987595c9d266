import { type Digest, digestKey } from '../domain/digest.ts';
import { checkTree, type Tree } from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { decodeTree } from '../wire/tree.ts';
import { DirectoryReader } from '../worker/directory-reader.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';

/** Messages are small; what is larger is some other blob. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024;

/** A message that is stored as a blob. @throws CommandFailure where it is missing or something else. */
export async function readMessage<T>(
  store: BlobStore,
  digest: Digest,
  kind: string,
  decode: (bytes: Uint8Array) => T,
  signal: AbortSignal,
): Promise<T> {
  if (digest.sizeBytes > MAX_MESSAGE_BYTES) {
    throw new CommandFailure(ExitCode.FAILURE, `blob ${digestKey(digest)} is too large for a ${kind}`);
  }
  const bytes = await readBlob(store, digest, kind, signal);
  try {
    return decode(bytes);
  } catch (cause) {
    throw new CommandFailure(ExitCode.FAILURE, `blob ${digestKey(digest)} is no ${kind}`, { cause });
  }
}

async function readBlob(store: BlobStore, digest: Digest, kind: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return await store.readWhole(digest, signal);
  } catch (thrown) {
    if (!(thrown instanceof StatusError && thrown.code === StatusCode.NOT_FOUND)) throw thrown;
    throw new CommandFailure(ExitCode.FAILURE, `${kind} ${digestKey(digest)} is not stored`, { cause: thrown });
  }
}

/** An encoded Tree with all its directories, checked. @throws CommandFailure. */
export function readTreeMessage(store: BlobStore, digest: Digest, signal: AbortSignal): Promise<Tree> {
  return readMessage(
    store,
    digest,
    'Tree',
    (bytes) => {
      const tree = decodeTree(bytes, digest.digestFunction, 'tree');
      checkTree(tree, 'tree');
      return tree;
    },
    signal,
  );
}

/** A directory and all below it. @throws CommandFailure when any of them is missing. */
export async function readDirectoryTree(store: BlobStore, rootDigest: Digest, signal: AbortSignal): Promise<Tree> {
  const { tree, missing } = await new DirectoryReader(store).read(rootDigest, signal);
  if (tree !== undefined) return tree;
  const [first] = missing;
  const more = missing.length > 1 ? `, and ${missing.length - 1} more` : '';
  throw new CommandFailure(
    ExitCode.FAILURE,
    `directory ${first === undefined ? '' : digestKey(first)} is not stored${more}`,
  );
}
