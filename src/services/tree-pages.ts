import { type Digest, digestKey, isEmptyDigest } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, notFound, StatusError } from '../domain/status-error.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { Directory, GetTreeResponse } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire } from '../wire/digest.ts';
import { decodeWireDirectory } from '../wire/directory.ts';

export interface TreePageLimits {
  /** Encoded directories of one response, in bytes. Defaults to 1 MiB; a single larger directory still goes out. */
  readonly maxTreePageBytes?: number;
  /** The largest encoded directory, in bytes. Defaults to 4 MiB - 64 KiB: a larger one fits in no response. */
  readonly maxDirectoryBytes?: number;
  /** Different directories of one tree. Defaults to 1 000 000. */
  readonly maxTreeDirectories?: number;
}

/** Directories that are read ahead of the one that is sent next. */
const READ_AHEAD = 64;
const READ_AHEAD_BYTES = 8 * 1024 * 1024;

/** Length and tag of a directory in its response. */
const OVERHEAD_BYTES = 6;

/**
 * The directories of a tree, level by level, each once wherever it occurs.
 *
 * A page token holds how many directories were sent before it, and the last of these. Where the tree has changed since,
 * because a part of it came or went, that one is not found at its place: everything is sent again rather than
 * something left out.
 *
 * @param pageSize the most directories that one response may hold; 0 for no wish.
 * @throws NOT_FOUND when the root is not stored; INVALID_ARGUMENT for a bad page size or token, for a blob that is no
 *   Directory, or a tree beyond the limits.
 */
export async function* treePages(
  blobs: BlobStore,
  root: Digest,
  pageSize: number,
  pageToken: string,
  signal: AbortSignal,
  limits: TreePageLimits = {},
): AsyncIterable<GetTreeResponse> {
  if (pageSize < 0) throw invalidArgument('page_size', `is ${pageSize}; 0 or more`);
  const position = pageToken === '' ? undefined : decodeToken(pageToken, root);
  if (position === undefined || !(yield* pagesFrom(position, blobs, root, pageSize, signal, limits))) {
    yield* pagesFrom(undefined, blobs, root, pageSize, signal, limits);
  }
}

interface Position {
  readonly count: number;
  /** Key of the last directory sent. */
  readonly last: string;
}

/** @returns false, with nothing sent, when the directory that was sent last does not stand where it stood. */
async function* pagesFrom(
  position: Position | undefined,
  blobs: BlobStore,
  root: Digest,
  pageSize: number,
  signal: AbortSignal,
  limits: TreePageLimits,
): AsyncGenerator<GetTreeResponse, boolean> {
  const { maxTreePageBytes = 1024 * 1024 } = limits;
  const skip = position?.count ?? 0;
  let page: Directory[] = [];
  let bytes = 0;
  let count = 0;
  let last: Digest = root;
  for await (const { digest, directory } of walk(blobs, root, signal, limits)) {
    count += 1;
    if (count === skip && digestKey(digest) !== position?.last) return false;
    if (count <= skip) continue;
    const full = page.length === pageSize ? pageSize > 0 : bytes + digest.sizeBytes + OVERHEAD_BYTES > maxTreePageBytes;
    if (full && page.length > 0) {
      yield { directories: page, nextPageToken: encodeToken({ root, count: count - 1, last }) };
      page = [];
      bytes = 0;
    }
    page.push(directory);
    bytes += digest.sizeBytes + OVERHEAD_BYTES;
    last = digest;
  }
  if (count < skip) return false;
  yield { directories: page, nextPageToken: '' };
  return true;
}

async function* walk(
  blobs: BlobStore,
  root: Digest,
  signal: AbortSignal,
  { maxDirectoryBytes = 4 * 1024 * 1024 - 64 * 1024, maxTreeDirectories = 1_000_000 }: TreePageLimits,
): AsyncGenerator<{ digest: Digest; directory: Directory }> {
  const read = async (digest: Digest): Promise<Uint8Array | undefined> => {
    if (isEmptyDigest(digest)) return new Uint8Array(0);
    try {
      return await blobs.readWhole(digest, signal);
    } catch (thrown) {
      const { code } = StatusError.from(thrown);
      if (code === StatusCode.NOT_FOUND || code === StatusCode.DATA_LOSS) return undefined;
      throw thrown;
    }
  };
  const seen = new Set([digestKey(root)]);
  const queue: Digest[] = [root];
  for (let next = 0; next < queue.length; ) {
    const batch = takeBatch(queue, next);
    next += batch.length;
    for (const { sizeBytes } of batch) {
      if (sizeBytes > maxDirectoryBytes) {
        throw invalidArgument('root_digest', `a directory of the tree has more than ${maxDirectoryBytes} bytes`);
      }
    }
    const contents = await Promise.all(batch.map(read));
    for (const [index, encoded] of contents.entries()) {
      const digest = batch[index] as Digest;
      if (encoded === undefined) {
        if (digest === root) throw notFound(`the root directory ${digestKey(root)} is not stored`);
        continue;
      }
      const directory = decodeWireDirectory(encoded, `root_digest: directory ${digestKey(digest)}`);
      for (const node of directory.directories) {
        const child = digestFromWire(node.digest, digest.digestFunction, 'root_digest: directories.digest');
        const key = digestKey(child);
        if (seen.has(key)) continue;
        seen.add(key);
        queue.push(child);
      }
      if (seen.size > maxTreeDirectories) {
        throw invalidArgument('root_digest', `the tree has more than ${maxTreeDirectories} directories`);
      }
      yield { digest, directory };
    }
  }
}

/** The next directories, as many as may be held at once. */
function takeBatch(queue: readonly Digest[], from: number): Digest[] {
  const batch: Digest[] = [];
  let bytes = 0;
  for (let i = from; i < queue.length && batch.length < READ_AHEAD; i++) {
    const digest = queue[i] as Digest;
    bytes += digest.sizeBytes;
    if (batch.length > 0 && bytes > READ_AHEAD_BYTES) break;
    batch.push(digest);
  }
  return batch;
}

function encodeToken({ root, count, last }: { root: Digest; count: number; last: Digest }): string {
  return Buffer.from(`1 ${digestKey(root)} ${count} ${digestKey(last)}`).toString('base64url');
}

function decodeToken(token: string, root: Digest): Position {
  const [version, rootKey, count, last, ...rest] = Buffer.from(token, 'base64url').toString().split(' ');
  if (version !== '1' || rest.length > 0 || last === undefined || !/^[1-9][0-9]{0,8}$/.test(count ?? '')) {
    throw invalidArgument('page_token', 'not a token of GetTree');
  }
  if (rootKey !== digestKey(root)) throw invalidArgument('page_token', 'belongs to another root_digest');
  return { count: Number(count), last };
}
