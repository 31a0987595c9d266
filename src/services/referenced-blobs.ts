import { type Digest, digestKey, isEmptyDigest } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import {
  checkNodeNames,
  checkTree,
  DEFAULT_TREE_LIMITS,
  type Directory,
  type Tree,
  type TreeLimits,
} from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import { LruMap } from '../lib/lru-map.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { ActionResult, OutputDirectory } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire } from '../wire/digest.ts';
import { decodeDirectory } from '../wire/directory.ts';
import { decodeTree } from '../wire/tree.ts';

export interface ReferencedBlobsOptions {
  /** The largest Tree or Directory that is read, in bytes. Defaults to 32 MiB, about 300 000 files. */
  readonly maxTreeSizeBytes?: number;
  /** How far an output directory may reach. */
  readonly treeLimits?: TreeLimits;
  /** Digests kept of output directories that were read before. Defaults to 50 000, about 10 MiB. */
  readonly cachedDigests?: number;
}

/** Directories of one level that are read at once. */
const READ_CONCURRENCY = 16;

/**
 * Finds every blob that a result of an action names, by reading its Trees and Directories.
 *
 * Directories are content-addressed, so what one names never changes: what was read is remembered, and a cache hit on a
 * result with large directories costs no second reading.
 */
export class ReferencedBlobs {
  readonly #blobs: BlobStore;
  readonly #maxTreeSizeBytes: number;
  readonly #treeLimits: TreeLimits;
  readonly #known: LruMap<string, readonly Digest[]>;

  constructor(blobs: BlobStore, options: ReferencedBlobsOptions = {}) {
    this.#blobs = blobs;
    this.#maxTreeSizeBytes = options.maxTreeSizeBytes ?? 32 * 1024 * 1024;
    this.#treeLimits = options.treeLimits ?? DEFAULT_TREE_LIMITS;
    this.#known = new LruMap(options.cachedDigests ?? 50_000, (digests) => digests.length + 1);
  }

  /**
   * Those of the blobs that the result names, directly or through its directories, that are not stored; each once. The
   * lives of the others are extended.
   *
   * What stands in a missing Tree or Directory can't be told, and is not in the answer.
   *
   * @throws INVALID_ARGUMENT when a digest, Tree or Directory is malformed or beyond the limits.
   */
  findMissing(result: ActionResult, digestFunction: DigestFunction, signal: AbortSignal): Promise<Digest[]> {
    return this.#findMissing(digestsOf(result, digestFunction), signal);
  }

  /** As `findMissing`, of blobs and of whole folders by the digests of their root Directories. */
  findMissingOf(
    blobs: readonly Digest[],
    roots: ReadonlyArray<{ readonly root: Digest; readonly field: string }>,
    signal: AbortSignal,
  ): Promise<Digest[]> {
    const all = new DigestSet();
    all.addAll(blobs);
    for (const { root } of roots) all.add(root);
    const directories = roots.map(({ root, field }) => ({ tree: undefined, root, treeField: '', rootField: field }));
    return this.#findMissing({ all: all.values(), directories }, signal);
  }

  async #findMissing(named: NamedDigests, signal: AbortSignal): Promise<Digest[]> {
    const missing = await this.#blobs.findMissing(named.all, signal);
    if (named.directories.length === 0) return missing;
    const found = new DigestSet();
    found.addAll(missing);
    const inner = new DigestSet();
    for (const directory of named.directories) {
      for (const each of await this.#insideOf(directory, found, signal)) inner.add(each);
    }
    found.addAll(await this.#blobs.findMissing(inner.values(), signal));
    return found.values();
  }

  /** What an output directory needs beyond its own digests. */
  async #insideOf(directory: OutputDirectoryDigests, missing: DigestSet, signal: AbortSignal): Promise<Digest[]> {
    const { tree, root, treeField, rootField } = directory;
    if (tree !== undefined && !missing.has(tree)) {
      const withDirectories = root !== undefined;
      const key = `${withDirectories ? 'tree+' : 'tree '}${digestKey(tree)}`;
      const known = this.#known.get(key);
      if (known !== undefined) return [...known];
      const inside = await this.#insideOfTree(tree, root, { treeField, rootField }, missing, signal);
      if (inside !== undefined) this.#known.set(key, inside);
      return inside ?? [];
    }
    if (root === undefined || missing.has(root)) return [];
    const key = `root ${digestKey(root)}`;
    const known = this.#known.get(key);
    if (known !== undefined) return [...known];
    const lost = missing.size;
    const inside = await this.#insideOfDirectories(root, rootField, missing, signal);
    if (missing.size === lost) this.#known.set(key, inside);
    return inside;
  }

  async #insideOfTree(
    digest: Digest,
    root: Digest | undefined,
    { treeField, rootField }: Pick<OutputDirectoryDigests, 'treeField' | 'rootField'>,
    missing: DigestSet,
    signal: AbortSignal,
  ): Promise<Digest[] | undefined> {
    const encoded = await this.#read(digest, treeField, missing, signal);
    if (encoded === undefined) return undefined;
    const tree = decodeTree(encoded, digest.digestFunction, treeField);
    checkTree(tree, treeField, this.#treeLimits);
    if (root !== undefined && digestKey(root) !== digestKey(tree.rootDigest)) {
      throw invalidArgument(rootField, 'not the digest of the root of the Tree');
    }
    return reachable(tree, root !== undefined);
  }

  /** Reads level by level; each directory once, wherever it occurs. */
  async #insideOfDirectories(root: Digest, name: string, missing: DigestSet, signal: AbortSignal): Promise<Digest[]> {
    const seen = new DigestSet();
    const files = new DigestSet();
    seen.add(root);
    let level: readonly Digest[] = [root];
    for (let depth = 1; level.length > 0; depth++) {
      if (depth > this.#treeLimits.maxDepth) {
        throw invalidArgument(name, `more than ${this.#treeLimits.maxDepth} directories deep`);
      }
      const read = await mapConcurrently(level, READ_CONCURRENCY, signal, async (digest) => {
        const encoded = await this.#read(digest, name, missing, signal);
        return encoded === undefined ? undefined : decodeDirectory(encoded, digest.digestFunction, name);
      });
      const next: Digest[] = [];
      for (const directory of read) {
        if (directory === undefined) continue;
        checkNodeNames(directory, name);
        for (const { digest } of directory.files) files.add(digest);
        for (const { digest } of directory.directories) {
          if (seen.add(digest)) next.push(digest);
        }
      }
      if (files.size > this.#treeLimits.maxFiles) {
        throw invalidArgument(name, `more than ${this.#treeLimits.maxFiles} files`);
      }
      if (seen.size > this.#treeLimits.maxDirectories) {
        throw invalidArgument(name, `more than ${this.#treeLimits.maxDirectories} directories`);
      }
      level = next;
    }
    return [...seen.values(), ...files.values()];
  }

  /** The blob, or undefined when it has been lost since it was looked up. */
  async #read(digest: Digest, field: string, missing: DigestSet, signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (isEmptyDigest(digest)) return new Uint8Array(0);
    if (digest.sizeBytes > this.#maxTreeSizeBytes) {
      throw invalidArgument(field, `larger than ${this.#maxTreeSizeBytes} bytes`);
    }
    try {
      return await this.#blobs.readWhole(digest, signal);
    } catch (thrown) {
      const error = StatusError.from(thrown);
      if (error.code !== StatusCode.NOT_FOUND && error.code !== StatusCode.DATA_LOSS) throw thrown;
      missing.add(digest);
      return undefined;
    }
  }
}

interface OutputDirectoryDigests {
  readonly tree: Digest | undefined;
  readonly root: Digest | undefined;
  /** What they stand in, for messages. */
  readonly treeField: string;
  readonly rootField: string;
}

/** The digests of something, and what of them are folders. */
interface NamedDigests {
  readonly all: readonly Digest[];
  readonly directories: readonly OutputDirectoryDigests[];
}

/** The digests that stand in the result itself. */
function digestsOf(result: ActionResult, digestFunction: DigestFunction): NamedDigests {
  const all = new DigestSet();
  const add = (wire: OutputDirectory['treeDigest'], field: string): Digest | undefined => {
    if (wire === undefined) return undefined;
    const digest = digestFromWire(wire, digestFunction, field);
    all.add(digest);
    return digest;
  };
  for (const [index, file] of result.outputFiles.entries()) {
    all.add(digestFromWire(file.digest, digestFunction, `action_result.output_files[${index}].digest`));
  }
  add(result.stdoutDigest, 'action_result.stdout_digest');
  add(result.stderrDigest, 'action_result.stderr_digest');
  const directories = result.outputDirectories.map(({ treeDigest, rootDirectoryDigest }, index) => {
    const field = `action_result.output_directories[${index}]`;
    const tree = add(treeDigest, `${field}.tree_digest`);
    const root = add(rootDirectoryDigest, `${field}.root_directory_digest`);
    if (tree === undefined && root === undefined) {
      throw invalidArgument(field, 'neither tree_digest nor root_directory_digest is set');
    }
    return { tree, root, treeField: `${field}.tree_digest`, rootField: `${field}.root_directory_digest` };
  });
  return { all: all.values(), directories };
}

/** The files of a tree, and its directories where they must be stored as blobs too. */
function reachable(tree: Tree, withDirectories: boolean): Digest[] {
  const found = new DigestSet();
  const visited = new Set<Directory>([tree.root]);
  if (withDirectories) found.add(tree.rootDigest);
  for (const directory of visited) {
    for (const { digest } of directory.files) found.add(digest);
    for (const { digest } of directory.directories) {
      if (withDirectories) found.add(digest);
      const child = tree.directories.get(digestKey(digest));
      if (child !== undefined) visited.add(child);
    }
  }
  return found.values();
}

/** Digests, each once, in the order in which they came. */
class DigestSet {
  readonly #byKey = new Map<string, Digest>();

  get size(): number {
    return this.#byKey.size;
  }

  /** Whether it is new. */
  add(digest: Digest): boolean {
    const key = digestKey(digest);
    if (this.#byKey.has(key)) return false;
    this.#byKey.set(key, digest);
    return true;
  }

  addAll(digests: Iterable<Digest>): void {
    for (const each of digests) this.add(each);
  }

  has(digest: Digest): boolean {
    return this.#byKey.has(digestKey(digest));
  }

  values(): Digest[] {
    return [...this.#byKey.values()];
  }
}
