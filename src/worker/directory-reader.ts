import { type Digest, digestKey, isEmptyDigest } from '../domain/digest.ts';
import {
  checkCanonicalDirectory,
  checkTree,
  DEFAULT_TREE_LIMITS,
  type Directory,
  EMPTY_DIRECTORY,
  type Tree,
} from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import { LruMap } from '../lib/lru-map.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { decodeDirectory } from '../wire/directory.ts';

const CONCURRENT_READS = 100;
const MAX_DIRECTORY_BYTES = 32 * 1024 * 1024;
/** A decoded directory takes about four times its encoding. */
const DECODED_BYTES_FACTOR = 4;
const FIELD = 'input_root_digest';

/** An input tree, as far as it could be read. */
export interface ReadTree {
  /** Whole and checked, or undefined when directories are missing. */
  readonly tree: Tree | undefined;
  /** The directories that could be read. */
  readonly directories: ReadonlyMap<string, Directory>;
  readonly missing: readonly Digest[];
}

/** Reads the directories of input trees, level by level; keeps them decoded, since trees of one build share most. */
export class DirectoryReader {
  readonly #blobs: BlobStore;
  readonly #decoded: LruMap<string, Directory>;

  /** @param maxBytes of memory for directories that may come again. */
  constructor(blobs: BlobStore, maxBytes = 128 * 1024 * 1024) {
    this.#blobs = blobs;
    this.#decoded = new LruMap(maxBytes, (_directory, key) => {
      return 256 + Number(key.slice(key.lastIndexOf('/') + 1)) * DECODED_BYTES_FACTOR;
    });
  }

  /** @throws INVALID_ARGUMENT when a directory is malformed or the tree beyond its limits. */
  async read(rootDigest: Digest, signal: AbortSignal): Promise<ReadTree> {
    const directories = new Map<string, Directory>();
    const missing: Digest[] = [];
    const seen = new Set<string>([digestKey(rootDigest)]);
    let level: Digest[] = [rootDigest];
    for (let depth = 1; level.length > 0; depth += 1) {
      // Each level is a round trip: a chain of a million directories is not read to its end to be refused.
      if (depth > DEFAULT_TREE_LIMITS.maxDepth) {
        throw invalidArgument(FIELD, `more than ${DEFAULT_TREE_LIMITS.maxDepth} directories deep`);
      }
      const next: Digest[] = [];
      const enter = (key: string, directory: Directory) => {
        directories.set(key, directory);
        for (const { digest } of directory.directories) {
          const childKey = digestKey(digest);
          if (seen.has(childKey)) continue;
          seen.add(childKey);
          next.push(digest);
        }
      };
      const absent: Digest[] = [];
      for (const digest of level) {
        const key = digestKey(digest);
        const known = isEmptyDigest(digest) ? EMPTY_DIRECTORY : this.#decoded.get(key);
        if (known === undefined) absent.push(digest);
        else enter(key, known);
      }
      await mapConcurrently(absent, CONCURRENT_READS, signal, async (digest) => {
        const directory = await this.#readOne(digest, signal);
        if (directory === undefined) missing.push(digest);
        else enter(digestKey(digest), directory);
      });
      level = next;
    }
    const root = directories.get(digestKey(rootDigest));
    if (missing.length > 0 || root === undefined) return { tree: undefined, directories, missing };
    const tree = { root, rootDigest, directories };
    checkTree(tree, FIELD);
    return { tree, directories, missing };
  }

  async #readOne(digest: Digest, signal: AbortSignal): Promise<Directory | undefined> {
    if (digest.sizeBytes > MAX_DIRECTORY_BYTES) {
      throw invalidArgument(FIELD, `a Directory of ${digest.sizeBytes} bytes; the limit is ${MAX_DIRECTORY_BYTES}`);
    }
    try {
      const encoded = await this.#blobs.readWhole(digest, signal);
      const directory = decodeDirectory(encoded, digest.digestFunction, FIELD);
      checkCanonicalDirectory(directory, FIELD);
      this.#decoded.set(digestKey(digest), directory);
      return directory;
    } catch (thrown) {
      if (thrown instanceof StatusError && thrown.code === StatusCode.NOT_FOUND) return undefined;
      throw thrown;
    }
  }
}
