import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  type Stats,
} from 'node:fs';
import { join, posix } from 'node:path';
import { createDigest, type Digest, digestKey, digestOf } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import {
  DEFAULT_TREE_LIMITS,
  type Directory,
  type DirectoryNode,
  type FileNode,
  type NodeProperties,
  type SymlinkNode,
} from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { compareCodePoints } from '../lib/code-point-order.ts';
import type { RereadableSource } from '../ports/blob-store.ts';
import { encodeDirectory } from '../wire/directory.ts';
import { encodeTree } from '../wire/tree.ts';
import type { RequestedOutputs } from './command-checks.ts';
import { diskFailure, systemCode } from './disk-failure.ts';
import { hashFile } from './hash-file.ts';
import { isBelow } from './output-folders.ts';

/** Files up to this size are held in memory from being hashed until they are uploaded. */
const SMALL_FILE_BYTES = 256 * 1024;
const READ_CHUNK_BYTES = 1024 * 1024;

/** How much an action may leave behind. */
export interface OutputLimits {
  /** Bytes of all files together. */
  readonly maxBytes: number;
  /** Files, directories and symlinks together. */
  readonly maxNodes: number;
}

/** A blob that the result names, with where its bytes come from. */
export interface OutputBlob {
  readonly digest: Digest;
  source(): Uint8Array | AsyncIterable<Uint8Array>;
  /** Where it is a file that the file cache might take. */
  readonly file?: { readonly path: string; readonly executable: boolean; readonly stats: Stats } | undefined;
}

/** One output as it was found. */
export type FoundOutput =
  | { readonly kind: 'file'; readonly path: string; readonly node: FileNode }
  | {
      readonly kind: 'directory';
      readonly path: string;
      readonly treeDigest: Digest | undefined;
      readonly rootDirectoryDigest: Digest | undefined;
    }
  | {
      readonly kind: 'symlink';
      readonly path: string;
      readonly node: SymlinkNode;
      /** Whether the command names it among its directories. */
      readonly namedAsDirectory: boolean;
    };

/** Everything that an action made and that was asked for. */
export interface CollectedOutputs {
  readonly outputs: readonly FoundOutput[];
  readonly blobs: ReadonlyMap<string, OutputBlob>;
}

/** How directories are stored: as Command.OutputDirectoryFormat says. */
export interface DirectoryFormat {
  readonly tree: boolean;
  readonly directories: boolean;
}

interface CollectedDirectory {
  readonly encoded: Uint8Array;
  readonly digest: Digest;
  readonly children: readonly CollectedDirectory[];
}

/**
 * Finds, hashes and describes the outputs of one action. Nothing outside of the input root is ever read: symlinks are
 * described, not followed. No process of the action may be alive any more.
 */
export class OutputCollector {
  readonly #inputRoot: string;
  readonly #workingDirectory: string;
  readonly #requested: RequestedOutputs;
  readonly #digestFunction: DigestFunction;
  readonly #limits: OutputLimits;
  readonly #signal: AbortSignal;
  readonly #blobs = new Map<string, OutputBlob>();
  #bytes = 0;
  #nodes = 0;

  /**
   * @param inputRoot a real path.
   * @param workingDirectory a real path below it.
   */
  constructor(
    inputRoot: string,
    workingDirectory: string,
    requested: RequestedOutputs,
    digestFunction: DigestFunction,
    limits: OutputLimits,
    signal: AbortSignal,
  ) {
    this.#inputRoot = inputRoot;
    this.#workingDirectory = workingDirectory;
    this.#requested = requested;
    this.#digestFunction = digestFunction;
    this.#limits = limits;
    this.#signal = signal;
  }

  /**
   * @throws FAILED_PRECONDITION when an output is of the wrong kind, is no file, directory or symlink, leads out of the
   *   input root, or the limits are passed; UNAVAILABLE or INTERNAL when the disk fails.
   */
  async collect(format: DirectoryFormat): Promise<CollectedOutputs> {
    const outputs: FoundOutput[] = [];
    for (const { path, kind } of this.#requested.paths) {
      try {
        const found = await this.#find(path, kind, format);
        if (found !== undefined) outputs.push(found);
      } catch (thrown) {
        const code = systemCode(thrown);
        // Rights and depth are the action's own doing: another worker would find the same.
        if (code === 'ENAMETOOLONG') throw refused(path, 'holds paths that are too long');
        if (code === 'EACCES') throw refused(path, 'holds folders that can not be read');
        throw diskFailure(thrown, 'Failed to collect the outputs');
      }
    }
    return { outputs, blobs: this.#blobs };
  }

  async #find(
    path: string,
    kind: 'any' | 'file' | 'directory',
    format: DirectoryFormat,
  ): Promise<FoundOutput | undefined> {
    const place = this.#locate(path);
    const stats = place === undefined ? undefined : lstatSync(place, { throwIfNoEntry: false });
    if (place === undefined || stats === undefined) return undefined;
    if (stats.isSymbolicLink()) {
      const target = this.#target(place);
      if (kind === 'file' && target === 'directory') throw wrongKind(path, 'a symlink to a directory', 'a file');
      if (kind === 'directory' && target === 'other') throw wrongKind(path, 'a symlink to no directory', 'a directory');
      const node = this.#symlink(path, place, stats);
      return { kind: 'symlink', path, node, namedAsDirectory: kind === 'directory' };
    }
    if (stats.isDirectory()) {
      if (kind === 'file') throw wrongKind(path, 'a directory', 'a file');
      const root = await this.#directory(place, path, 1);
      return { kind: 'directory', path, ...this.#storeDirectory(root, format) };
    }
    if (kind === 'directory') throw wrongKind(path, 'no directory', 'a directory');
    return { kind: 'file', path, node: await this.#file(posix.basename(path), place, path) };
  }

  /** The output's place, whose parent is real and inside; undefined where there is none. */
  #locate(path: string): string | undefined {
    const lexical = join(this.#workingDirectory, path);
    if (lexical === this.#workingDirectory || lexical === this.#inputRoot) return lexical;
    try {
      const parent = isBelow(lexical, this.#inputRoot) ? realpathSync(posix.dirname(lexical)) : undefined;
      if (parent !== undefined && isBelow(parent, this.#inputRoot)) return join(parent, posix.basename(lexical));
    } catch (thrown) {
      const code = systemCode(thrown);
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return undefined;
      throw thrown;
    }
    throw refused(path, 'leads through a symlink out of the input root');
  }

  /** What a symlink leads to; unknown outside of the input root, where nothing is looked at, and where nothing is. */
  #target(symlink: string): 'directory' | 'other' | 'unknown' {
    try {
      const real = realpathSync(symlink);
      if (!isBelow(real, this.#inputRoot)) return 'unknown';
      return lstatSync(real).isDirectory() ? 'directory' : 'other';
    } catch {
      return 'unknown';
    }
  }

  #symlink(path: string, place: string, stats: Stats): SymlinkNode {
    this.#count(path, 0);
    const target = readlinkSync(place);
    if (target.includes('\uFFFD')) throw refused(path, 'is a symlink whose target is not UTF-8');
    return { name: posix.basename(path), target, nodeProperties: this.#properties(stats) };
  }

  async #file(name: string, place: string, path: string): Promise<FileNode> {
    let descriptor: number;
    try {
      // O_NONBLOCK: to open a FIFO would wait for a writer.
      descriptor = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (thrown) {
      const code = systemCode(thrown);
      if (code === 'ENXIO' || code === 'ENODEV') throw special(path);
      if (code === 'EACCES') throw refused(path, 'can not be read');
      throw thrown;
    }
    try {
      const stats = fstatSync(descriptor);
      if (!stats.isFile()) throw special(path);
      this.#count(path, stats.size);
      const executable = (stats.mode & 0o111) !== 0;
      const file = { path: place, executable, stats };
      const digest =
        stats.size <= SMALL_FILE_BYTES
          ? this.#smallFile(readSmall(descriptor, stats.size), file)
          : await this.#largeFile(place, stats.size, file);
      return { name, digest, isExecutable: executable, nodeProperties: this.#properties(stats) };
    } finally {
      closeSync(descriptor);
    }
  }

  #smallFile(bytes: Uint8Array, file: NonNullable<OutputBlob['file']>): Digest {
    const digest = digestOf(bytes, this.#digestFunction);
    this.#add({ digest, source: () => bytes, file });
    return digest;
  }

  async #largeFile(place: string, size: number, file: NonNullable<OutputBlob['file']>): Promise<Digest> {
    const hash = await hashFile(place, this.#digestFunction);
    this.#signal.throwIfAborted();
    const digest = createDigest(this.#digestFunction, hash, size);
    this.#add({ digest, source: () => new FileSource(place), file });
    return digest;
  }

  async #directory(place: string, path: string, depth: number): Promise<CollectedDirectory> {
    this.#signal.throwIfAborted();
    if (depth > DEFAULT_TREE_LIMITS.maxDepth) {
      throw refused(path, `lies more than ${DEFAULT_TREE_LIMITS.maxDepth} directories deep, which servers refuse`);
    }
    const files: FileNode[] = [];
    const directories: DirectoryNode[] = [];
    const symlinks: SymlinkNode[] = [];
    const children: CollectedDirectory[] = [];
    const stats = lstatSync(place);
    this.#count(path, 0);
    for (const entry of readdirSync(place, { withFileTypes: true })) {
      const { name } = entry;
      const below = path === '' ? name : `${path}/${name}`;
      if (name.includes('\uFFFD')) throw refused(below, 'has a name that is not UTF-8');
      const childPlace = join(place, name);
      if (entry.isDirectory()) {
        const child = await this.#directory(childPlace, below, depth + 1);
        children.push(child);
        directories.push({ name, digest: child.digest });
      } else if (entry.isSymbolicLink()) {
        symlinks.push(this.#symlink(below, childPlace, lstatSync(childPlace)));
      } else if (entry.isFile()) {
        files.push(await this.#file(name, childPlace, below));
      } else {
        throw special(below);
      }
    }
    const byName = (a: { readonly name: string }, b: { readonly name: string }) => compareCodePoints(a.name, b.name);
    const directory: Directory = {
      files: files.sort(byName),
      directories: directories.sort(byName),
      symlinks: symlinks.sort(byName),
      nodeProperties: this.#properties(stats),
    };
    children.sort((a, b) => compareCodePoints(a.digest.hash, b.digest.hash));
    const encoded = encodeDirectory(directory);
    return { encoded, digest: digestOf(encoded, this.#digestFunction), children };
  }

  #storeDirectory(root: CollectedDirectory, format: DirectoryFormat) {
    const ordered = parentsFirst(root);
    let treeDigest: Digest | undefined;
    if (format.tree) {
      const [first, ...rest] = ordered.map(({ encoded }) => encoded);
      const encoded = encodeTree(first as Uint8Array, rest);
      treeDigest = digestOf(encoded, this.#digestFunction);
      this.#add({ digest: treeDigest, source: () => encoded });
    }
    if (format.directories) for (const { digest, encoded } of ordered) this.#add({ digest, source: () => encoded });
    return { treeDigest, rootDirectoryDigest: format.directories ? root.digest : undefined };
  }

  #add(blob: OutputBlob): void {
    if (!this.#blobs.has(digestKey(blob.digest))) this.#blobs.set(digestKey(blob.digest), blob);
  }

  #count(path: string, bytes: number): void {
    this.#bytes += bytes;
    this.#nodes += 1;
    if (this.#bytes > this.#limits.maxBytes) {
      throw refused(path, `takes the outputs beyond the worker's limit of ${this.#limits.maxBytes} bytes`);
    }
    if (this.#nodes > this.#limits.maxNodes) {
      throw refused(path, `takes the outputs beyond the worker's limit of ${this.#limits.maxNodes} files`);
    }
  }

  #properties(stats: Stats): NodeProperties | undefined {
    const { mtime, unixMode } = this.#requested;
    if (!mtime && !unixMode) return undefined;
    return {
      properties: [],
      mtime: mtime ? toTimestamp(stats.mtimeMs) : undefined,
      unixMode: unixMode ? stats.mode & 0o7777 : undefined,
    };
  }
}

/** The bytes of a file, opened when they are asked for. */
class FileSource implements RereadableSource {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  from(start: number): AsyncIterable<Uint8Array> {
    return createReadStream(this.#path, { start, highWaterMark: READ_CHUNK_BYTES });
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this.from(0)[Symbol.asyncIterator]();
  }
}

/** Each directory once, behind all its parents: what OutputDirectory.is_topologically_sorted asks. */
function parentsFirst(root: CollectedDirectory): CollectedDirectory[] {
  const seen = new Set<string>();
  const childrenFirst: CollectedDirectory[] = [];
  const visit = (directory: CollectedDirectory) => {
    const key = digestKey(directory.digest);
    if (seen.has(key)) return;
    seen.add(key);
    for (const child of directory.children) visit(child);
    childrenFirst.push(directory);
  };
  visit(root);
  return childrenFirst.reverse();
}

function readSmall(descriptor: number, size: number): Buffer {
  const buffer = Buffer.allocUnsafe(size);
  let at = 0;
  while (at < size) {
    const read = readSync(descriptor, buffer, at, size - at, at);
    if (read === 0) break;
    at += read;
  }
  return buffer.subarray(0, at);
}

function toTimestamp(milliseconds: number): { readonly seconds: bigint; readonly nanos: number } {
  const seconds = Math.floor(milliseconds / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.min(Math.round((milliseconds - seconds * 1_000) * 1e6), 999_999_999) };
}

function refused(path: string, why: string): StatusError {
  return new StatusError(StatusCode.FAILED_PRECONDITION, `the output ${JSON.stringify(path.slice(0, 200))} ${why}`);
}

function special(path: string): StatusError {
  return refused(path, 'is a FIFO, a socket or a device; outputs are files, directories and symlinks');
}

function wrongKind(path: string, is: string, asked: string): StatusError {
  return refused(path, `is ${is}, where the command names ${asked}`);
}
