import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createDigest, type Digest, digestKey, digestOf } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import { checkNodeNames, type Directory, type FileNode } from '../domain/merkle-tree.ts';
import { StatusError } from '../domain/status-error.ts';
import { compareCodePoints } from '../lib/code-point-order.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import { encodeDirectory } from '../wire/directory.ts';
import { hashFile } from '../worker/hash-file.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';
import type { LocalBlob } from './local-blobs.ts';

/** Files and folders of this machine as a Merkle tree, with every blob that it is made of. */
export interface LocalTree {
  readonly rootDigest: Digest;
  /** Files and directories, by `digestKey`. */
  readonly blobs: ReadonlyMap<string, LocalBlob>;
  readonly files: number;
  /** Of all files, equal ones counted each time. */
  readonly bytes: number;
}

interface PendingFile {
  readonly path: string;
  readonly executable: boolean;
  digest: Digest | undefined;
}

interface Folder {
  readonly nodes: Map<string, Folder | PendingFile | { readonly target: string }>;
}

const CONCURRENT_HASHES = 8;

/** Puts files and folders together under one root. Symlinks stay symlinks; sockets and devices are refused. */
export class LocalTreeBuilder {
  readonly #digestFunction: DigestFunction;
  readonly #root: Folder = { nodes: new Map() };
  readonly #files: PendingFile[] = [];

  constructor(digestFunction: DigestFunction) {
    this.#digestFunction = digestFunction;
  }

  /** How many files were found so far. */
  get files(): number {
    return this.#files.length;
  }

  /**
   * Adds a file, or a folder and all below it. Folders that meet are merged.
   *
   * @param path on this machine; where it is a symlink, what it leads to.
   * @param target segments below the root; none for the root itself, which takes folders only.
   * @throws CommandFailure where something is there already, or the path can't be read.
   */
  async add(path: string, target: readonly string[], signal: AbortSignal): Promise<void> {
    const found = await readable(path, () => stat(path));
    const parents = found.isDirectory() ? target : target.slice(0, -1);
    let folder = this.#root;
    for (const name of parents) folder = this.#folder(folder, name, path);
    if (found.isDirectory()) {
      await this.#addFolder(path, folder, signal);
      return;
    }
    const name = target.at(-1);
    if (name === undefined) throw failure(`${path} is no folder, so that it can't be the root; give it a name`);
    if (!found.isFile()) throw failure(`${path} is neither file nor folder`);
    this.#put(folder, name, path, { path, executable: isExecutable(found.mode), digest: undefined });
  }

  /** Makes sure that there is a folder, empty where nothing was added to it. */
  addFolder(target: readonly string[]): void {
    let folder = this.#root;
    for (const name of target) folder = this.#folder(folder, name, target.join('/'));
  }

  /** Hashes all that was added. */
  async build(signal: AbortSignal): Promise<LocalTree> {
    const blobs = new Map<string, LocalBlob>();
    let bytes = 0;
    await mapConcurrently(this.#files, CONCURRENT_HASHES, signal, async (file) => {
      const digest = await digestOfFile(file.path, this.#digestFunction);
      file.digest = digest;
      bytes += digest.sizeBytes;
      blobs.set(digestKey(digest), { digest, path: file.path });
    });
    const rootDigest = this.#encode(this.#root, '', blobs);
    return { rootDigest, blobs, files: this.#files.length, bytes };
  }

  async #addFolder(path: string, folder: Folder, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const entry of await readable(path, () => readdir(path, { withFileTypes: true }))) {
      const child = join(path, entry.name);
      if (entry.isDirectory()) {
        await this.#addFolder(child, this.#folder(folder, entry.name, child), signal);
      } else if (entry.isSymbolicLink()) {
        const target = await readable(child, () => readlink(child));
        this.#put(folder, entry.name, child, { target });
      } else if (entry.isFile()) {
        const { mode } = await readable(child, () => lstat(child));
        this.#put(folder, entry.name, child, { path: child, executable: isExecutable(mode), digest: undefined });
      } else {
        throw failure(`${child} is no file, folder or symlink`);
      }
    }
  }

  #folder(parent: Folder, name: string, path: string): Folder {
    const known = parent.nodes.get(name);
    if (known === undefined) {
      const made: Folder = { nodes: new Map() };
      parent.nodes.set(name, made);
      return made;
    }
    if ('nodes' in known) return known;
    throw failure(`${path}: its place in the input tree, '${name}', is taken by another input that is no folder`);
  }

  #put(parent: Folder, name: string, path: string, node: PendingFile | { readonly target: string }): void {
    if (parent.nodes.has(name)) throw failure(`${path}: its place in the input tree, '${name}', is taken already`);
    parent.nodes.set(name, node);
    if ('path' in node) this.#files.push(node);
  }

  #encode(folder: Folder, path: string, blobs: Map<string, LocalBlob>): Digest {
    const directory = { files: [], directories: [], symlinks: [] } as {
      files: FileNode[];
      directories: Array<{ name: string; digest: Digest }>;
      symlinks: Array<{ name: string; target: string }>;
    };
    for (const [name, node] of [...folder.nodes].sort(([a], [b]) => compareCodePoints(a, b))) {
      if ('nodes' in node) directory.directories.push({ name, digest: this.#encode(node, `${path}/${name}`, blobs) });
      else if ('target' in node) directory.symlinks.push({ name, target: node.target });
      else directory.files.push({ name, digest: node.digest as Digest, isExecutable: node.executable });
    }
    checkNames(directory, path);
    const data = encodeDirectory(directory);
    const digest = digestOf(data, this.#digestFunction);
    blobs.set(digestKey(digest), { digest, data });
    return digest;
  }
}

/** The digest of a file. @throws CommandFailure where it can't be read. */
export async function digestOfFile(path: string, digestFunction: DigestFunction): Promise<Digest> {
  const { size } = await readable(path, () => stat(path));
  const hash = await readable(path, () => hashFile(path, digestFunction));
  return createDigest(digestFunction, hash, size);
}

function checkNames(directory: Directory, path: string): void {
  try {
    checkNodeNames(directory, path === '' ? 'input root' : path);
  } catch (thrown) {
    throw thrown instanceof StatusError ? failure(thrown.message) : thrown;
  }
}

async function readable<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'does not exist' : `can't be read: ${(cause as Error).message}`;
    throw new CommandFailure(ExitCode.USAGE, `${path} ${why}`, { cause });
  }
}

function isExecutable(mode: number): boolean {
  return (mode & 0o100) !== 0;
}

function failure(message: string): CommandFailure {
  return new CommandFailure(ExitCode.USAGE, message);
}
