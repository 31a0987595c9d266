import { createWriteStream } from 'node:fs';
import { chmod, lstat, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Digest, digestKey } from '../domain/digest.ts';
import type { FileNode, SymlinkNode, Tree } from '../domain/merkle-tree.ts';
import { RandomIdGenerator } from '../lib/ids.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';
import type { TransferProgress } from './local-blobs.ts';

const SMALL_FILE_BYTES = 512 * 1024;
const CONCURRENT_DOWNLOADS = 64;
const ids = new RandomIdGenerator();

/** A file to make. */
export interface WantedFile {
  readonly path: string;
  readonly digest: Digest;
  readonly executable: boolean;
  /** Its bytes, where the server sent them along. */
  readonly contents?: Uint8Array;
}

/** What is to be made on this machine. Paths are below one folder that is not given away: see `checkBelow`. */
export interface WantedNodes {
  readonly directories: string[];
  readonly files: WantedFile[];
  readonly symlinks: Array<{ readonly path: string; readonly target: string }>;
}

export function newWantedNodes(): WantedNodes {
  return { directories: [], files: [], symlinks: [] };
}

/** Adds everything in a checked tree, below `path`. */
export function addTree(wanted: WantedNodes, tree: Tree, path: string): void {
  const visit = (digest: Digest, at: string) => {
    const directory = tree.directories.get(digestKey(digest));
    wanted.directories.push(at);
    for (const node of directory?.files ?? []) wanted.files.push(fileOf(node, at));
    for (const node of directory?.symlinks ?? []) wanted.symlinks.push(symlinkOf(node, at));
    for (const node of directory?.directories ?? []) visit(node.digest, join(at, node.name));
  };
  visit(tree.rootDigest, path);
}

function fileOf({ name, digest, isExecutable }: FileNode, folder: string): WantedFile {
  return { path: join(folder, name), digest, executable: isExecutable };
}

function symlinkOf({ name, target }: SymlinkNode, folder: string) {
  return { path: join(folder, name), target };
}

/**
 * Makes folders, files and at last symlinks below `root`. What is there is replaced, file by file; a file appears whole.
 *
 * Nothing is written through a symlink: what the server sent can't lead out of `root`.
 */
export async function download(
  store: BlobStore,
  root: string,
  wanted: WantedNodes,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<void> {
  progress.totalBlobs += wanted.files.length;
  for (const { digest } of wanted.files) progress.totalBytes += digest.sizeBytes;
  await mkdir(root, { recursive: true });
  const folders = new Set<string>();
  const parents = [...wanted.files, ...wanted.symlinks].map(({ path }) => dirname(path));
  for (const path of [...wanted.directories, ...parents]) await makeFolder(root, path, folders);
  await mapConcurrently(wanted.files, CONCURRENT_DOWNLOADS, signal, async (file) => {
    await downloadFile(store, join(root, file.path), file, progress, signal);
    progress.blobs += 1;
  });
  for (const { path, target } of wanted.symlinks) {
    const place = join(root, path);
    await rm(place, { force: true });
    await symlink(target, place);
  }
}

/** Makes one file, whole or not at all. */
export async function downloadFile(
  store: BlobStore,
  place: string,
  { digest, executable, contents }: Omit<WantedFile, 'path'>,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<void> {
  // A name of its own: the file's may be as long as names can be, and one that can be guessed may be a symlink by now.
  const temporary = join(dirname(place), `.warren-part-${ids.uuid()}`);
  try {
    if (contents !== undefined || digest.sizeBytes <= SMALL_FILE_BYTES) {
      const data = contents ?? (await store.readWhole(digest, signal));
      await writeFile(temporary, data, { flag: 'wx' });
      progress.bytes += data.byteLength;
    } else {
      await pipeline(
        Readable.from(counted(store.read(digest, { offset: 0 }, signal), progress)),
        createWriteStream(temporary, { flags: 'wx' }),
      );
    }
    if (executable) await chmod(temporary, 0o755);
    await rename(temporary, place);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
}

async function* counted(source: AsyncIterable<Uint8Array>, progress: TransferProgress): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    progress.bytes += chunk.byteLength;
    yield chunk;
  }
}

/** Makes the folder and those above it, down from `root`; none of them may be a symlink. */
async function makeFolder(root: string, path: string, made: Set<string>): Promise<void> {
  let at = '';
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue;
    at = join(at, name);
    if (made.has(at)) continue;
    made.add(at);
    const place = join(root, at);
    const found = await lstat(place).catch(() => undefined);
    if (found === undefined) await mkdir(place);
    else if (!found.isDirectory()) {
      throw new CommandFailure(ExitCode.FAILURE, `${place} is in the way: it is no folder`);
    }
  }
}

/**
 * The path of an output below the folder that takes it.
 *
 * @throws CommandFailure when the server's path is absolute or leads out.
 */
export function checkBelow(path: string): string {
  const segments = path.split('/').filter((each) => each !== '' && each !== '.');
  if (path.startsWith('/') || path.includes('\0') || segments.includes('..')) {
    throw new CommandFailure(
      ExitCode.FAILURE,
      `the server names an output outside of the folder: ${JSON.stringify(path)}`,
    );
  }
  return segments.join('/');
}
