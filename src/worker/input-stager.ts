import { chmodSync, copyFileSync, lutimesSync, symlinkSync, utimesSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Digest, digestKey, missingBlobSubject } from '../domain/digest.ts';
import type { Directory, FileNode, NodeProperties, Tree } from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import type { DirectoryReader } from './directory-reader.ts';
import { diskFailure, systemCode } from './disk-failure.ts';
import { type CachedFile, type FileCache, type FileRequest, fileKey, type HeldFiles } from './file-cache.ts';
import type { WorkFolder } from './work-folders.ts';

/** File operations between two turns of the event loop: some 3 ms, so that heartbeats are never late. */
const OPERATIONS_PER_TURN = 256;

/** The inputs of one action, as they lie in its folder. */
export interface StagedInputs {
  /** Each hard link, with the file that it is a link to. */
  readonly links: ReadonlyArray<{ readonly path: string; readonly file: CachedFile }>;
  readonly held: HeldFiles;
  /** Whether no directory has a mode or a time of its own, so that each may serve another action. */
  readonly plainDirectories: boolean;
}

/** Lays an action's input tree out in a folder. */
export class InputStager {
  readonly #directories: DirectoryReader;
  readonly #cache: FileCache;

  constructor(directories: DirectoryReader, cache: FileCache) {
    this.#directories = directories;
    this.#cache = cache;
  }

  /**
   * Fills the input root of a folder with the tree. Whatever comes of it, the caller must hand the result to `dispose`.
   *
   * @param copies whether each file is a copy of its own instead of a link into the cache.
   * @throws FAILED_PRECONDITION with MISSING for every blob that the storage does not have, directories and files alike;
   *   INVALID_ARGUMENT when the tree is malformed.
   */
  async stage(rootDigest: Digest, folder: WorkFolder, copies: boolean, signal: AbortSignal): Promise<StagedInputs> {
    const { tree, directories, missing } = await this.#directories.read(rootDigest, signal);
    const held = await this.#cache.hold(fileRequests(directories.values()), signal);
    const links: Array<{ path: string; file: CachedFile }> = [];
    try {
      if (tree === undefined || held.missing.length > 0) throw missingInputs([...missing, ...held.missing]);
      await this.#layOut(tree, folder, copies ? undefined : links, held, signal);
    } catch (thrown) {
      this.dispose({ links, held, plainDirectories: false });
      if (systemCode(thrown) === 'ENAMETOOLONG') throw invalidArgument('input_root_digest', 'a path is too long');
      throw diskFailure(thrown, 'Failed to stage the inputs');
    }
    const plainDirectories = [tree.root, ...directories.values()].every(
      ({ nodeProperties }) => nodeProperties === undefined,
    );
    return { links, held, plainDirectories };
  }

  /** All that the storage lacks of a tree. Nothing is laid out. */
  async findMissing(rootDigest: Digest, signal: AbortSignal): Promise<Digest[]> {
    const { directories, missing } = await this.#directories.read(rootDigest, signal);
    const held = await this.#cache.hold(fileRequests(directories.values()), signal);
    this.#cache.release(held.files.values());
    return [...missing, ...held.missing];
  }

  /** Whether no input was changed in place while the action ran. Must come before `dispose`. */
  verify(staged: StagedInputs): Promise<boolean> {
    return this.#cache.verify(staged.held.files.values());
  }

  /** Removes the links and lets go of the cached files. */
  dispose(staged: StagedInputs): void {
    for (const { path, file } of staged.links) this.#cache.unlink(file, path);
    this.#cache.release(staged.held.files.values());
  }

  async #layOut(
    tree: Tree,
    folder: WorkFolder,
    links: Array<{ path: string; file: CachedFile }> | undefined,
    held: HeldFiles,
    signal: AbortSignal,
  ): Promise<void> {
    const standing = new Set(folder.standing);
    let operations = 0;
    const pause = async (count: number) => {
      operations += count;
      if (operations < OPERATIONS_PER_TURN) return;
      operations = 0;
      await nextTurn();
      signal.throwIfAborted();
    };
    const enter = async (directory: Directory, path: string): Promise<void> => {
      for (const node of directory.files) {
        const file = held.files.get(fileKey(requestOf(node)));
        if (file === undefined) throw new StatusError(StatusCode.INTERNAL, `an input was not fetched: ${node.name}`);
        this.#layFile(node, file, `${path}/${node.name}`, links);
        if (++operations >= OPERATIONS_PER_TURN) await pause(0);
      }
      for (const { name, target, nodeProperties } of directory.symlinks) {
        symlinkSync(target, `${path}/${name}`);
        const mtime = mtimeSeconds(nodeProperties);
        if (mtime !== undefined) lutimesSync(`${path}/${name}`, mtime, mtime);
      }
      for (const { name, digest } of directory.directories) {
        const child = `${path}/${name}`;
        if (!standing.delete(child)) folder.directories.make(child);
        await enter(tree.directories.get(digestKey(digest)) as Directory, child);
      }
      await pause(directory.symlinks.length + directory.directories.length);
      applyProperties(path, directory.nodeProperties, 0o700);
    };
    await enter(tree.root, folder.inputRoot);
    // The deepest first.
    for (const path of [...standing].sort().reverse()) await folder.directories.park(path);
  }

  #layFile(
    node: FileNode,
    file: CachedFile,
    path: string,
    links: Array<{ path: string; file: CachedFile }> | undefined,
  ) {
    const { nodeProperties } = node;
    const own = nodeProperties?.mtime !== undefined || nodeProperties?.unixMode !== undefined;
    if (links !== undefined && !own) {
      try {
        this.#cache.link(file, path);
        links.push({ path, file });
        return;
      } catch (thrown) {
        const { code } = thrown as NodeJS.ErrnoException;
        if (code !== 'EXDEV' && code !== 'EMLINK' && code !== 'EPERM') throw thrown;
      }
    }
    copyFileSync(file.path, path);
    if (own) applyProperties(path, nodeProperties, 0o400);
  }
}

function* fileRequests(directories: Iterable<Directory>): Iterable<FileRequest> {
  for (const { files } of directories) {
    for (const node of files) yield requestOf(node);
  }
}

function requestOf(node: FileNode): FileRequest {
  const mode = node.nodeProperties?.unixMode ?? 0;
  return { digest: node.digest, executable: node.isExecutable || (mode & 0o111) !== 0 };
}

/** @param least bits that the mode keeps in any case, so that the worker itself is not locked out. */
function applyProperties(path: string, nodeProperties: NodeProperties | undefined, least: number): void {
  if (nodeProperties === undefined) return;
  if (nodeProperties.unixMode !== undefined) chmodSync(path, (nodeProperties.unixMode & 0o777) | least);
  const mtime = mtimeSeconds(nodeProperties);
  if (mtime !== undefined) utimesSync(path, mtime, mtime);
}

function mtimeSeconds(nodeProperties: NodeProperties | undefined): number | undefined {
  const mtime = nodeProperties?.mtime;
  return mtime === undefined ? undefined : Number(mtime.seconds) + mtime.nanos / 1e9;
}

/** FAILED_PRECONDITION as clients expect it, so that one upload mends the build. */
export function missingInputs(digests: readonly Digest[]): StatusError {
  const unique = [...new Map(digests.map((digest) => [digestKey(digest), digest])).values()];
  const violations = unique.map((digest) => ({
    type: 'MISSING',
    subject: missingBlobSubject(digest),
    description: 'not in the storage',
  }));
  const message = `${unique.length} of the action's blobs are not in the storage, among them ${digestKey(unique[0] as Digest)}`;
  return new StatusError(StatusCode.FAILED_PRECONDITION, message, {
    details: [{ kind: 'precondition-failure', violations }],
  });
}
