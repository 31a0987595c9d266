import { type Digest, digestKey, digestOf, isEmptyDigest } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
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
import type { TreeClient } from '../ports/tree-client.ts';
import { decodeDirectory } from '../wire/directory.ts';

const CONCURRENT_READS = 100;
const MAX_DIRECTORY_BYTES = 32 * 1024 * 1024;
/** A decoded directory takes about four times its encoding. */
const DECODED_BYTES_FACTOR = 4;
const FIELD = 'input_root_digest';
/**
 * A tree with more directories is read a level at a time: of a large one most directories are known from the tree
 * before, and need not come again; of a small one the round trips are what costs.
 */
const MOST_IN_ONE_CALL = 200;

/** An input tree, as far as it could be read. */
export interface ReadTree {
  /** Whole and checked, or undefined when directories are missing. */
  readonly tree: Tree | undefined;
  /** The directories that could be read. */
  readonly directories: ReadonlyMap<string, Directory>;
  readonly missing: readonly Digest[];
}

/**
 * Reads the directories of input trees; keeps them decoded, since trees of one build share most.
 *
 * A small tree comes in one call where the storage can do that; what that does not bring, and large trees, are read level
 * by level.
 */
export class DirectoryReader {
  readonly #blobs: BlobStore;
  readonly #trees: TreeClient | undefined;
  readonly #decoded: LruMap<string, Directory>;

  /** How many directories the last tree had. */
  #lastSize = 0;

  /** @param maxBytes of memory for directories that may come again. */
  constructor(blobs: BlobStore, trees?: TreeClient, maxBytes = 128 * 1024 * 1024) {
    this.#blobs = blobs;
    this.#trees = trees;
    this.#decoded = new LruMap(maxBytes, (_directory, key) => {
      return 256 + Number(key.slice(key.lastIndexOf('/') + 1)) * DECODED_BYTES_FACTOR;
    });
  }

  /** @throws INVALID_ARGUMENT when a directory is malformed or the tree beyond its limits. */
  async read(rootDigest: Digest, signal: AbortSignal): Promise<ReadTree> {
    const fetched = await this.#fetchSmall(rootDigest, signal);
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
        const known = isEmptyDigest(digest) ? EMPTY_DIRECTORY : (this.#decoded.get(key) ?? fetched.get(key));
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
    this.#lastSize = directories.size;
    const root = directories.get(digestKey(rootDigest));
    if (missing.length > 0 || root === undefined) return { tree: undefined, directories, missing };
    const tree = { root, rootDigest, directories };
    checkTree(tree, FIELD);
    return { tree, directories, missing };
  }

  /** The directories of a tree by their keys, as far as one call brings them. */
  async #fetchSmall(rootDigest: Digest, signal: AbortSignal): Promise<ReadonlyMap<string, Directory>> {
    const fetched = new Map<string, Directory>();
    const isKnown = isEmptyDigest(rootDigest) || this.#decoded.get(digestKey(rootDigest)) !== undefined;
    if (this.#trees === undefined || isKnown || this.#lastSize > MOST_IN_ONE_CALL) return fetched;
    const { digestFunction } = rootDigest;
    try {
      for await (const encoded of this.#trees.readTree(rootDigest, signal)) {
        const key = digestKey(digestOf(encoded, digestFunction));
        if (this.#decoded.get(key) !== undefined) continue;
        fetched.set(key, this.#decode(encoded, key, digestFunction));
        if (fetched.size > MOST_IN_ONE_CALL) break;
      }
    } catch {
      // Read one by one, what is wrong shows at its place.
      signal.throwIfAborted();
    }
    return fetched;
  }

  #decode(encoded: Uint8Array, key: string, digestFunction: DigestFunction): Directory {
    const directory = decodeDirectory(encoded, digestFunction, FIELD);
    checkCanonicalDirectory(directory, FIELD);
    this.#decoded.set(key, directory);
    return directory;
  }

  async #readOne(digest: Digest, signal: AbortSignal): Promise<Directory | undefined> {
    if (digest.sizeBytes > MAX_DIRECTORY_BYTES) {
      throw invalidArgument(FIELD, `a Directory of ${digest.sizeBytes} bytes; the limit is ${MAX_DIRECTORY_BYTES}`);
    }
    try {
      const encoded = await this.#blobs.readWhole(digest, signal);
      return this.#decode(encoded, digestKey(digest), digest.digestFunction);
    } catch (thrown) {
      if (thrown instanceof StatusError && thrown.code === StatusCode.NOT_FOUND) return undefined;
      throw thrown;
    }
  }
}
