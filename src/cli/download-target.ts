import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Digest } from '../domain/digest.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { Output } from './command-context.ts';
import { addTree, download, downloadFile, newWantedNodes } from './download.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';
import type { TransferProgress } from './local-blobs.ts';
import { readDirectoryTree, readTreeMessage } from './stored-messages.ts';

/** What is to be brought to this machine. */
export interface DownloadWish {
  readonly digest: Digest;
  /** A file, or what the digest of a folder is of: its root Directory or its Tree. */
  readonly kind: 'file' | 'directory' | 'tree';
  /** Whether the file becomes executable. */
  readonly executable: boolean;
}

/**
 * Brings a file or a folder where the command line says.
 *
 * @param target a path; `-` for a file to the standard output. A file that goes to a folder gets its hash for a name.
 * @throws CommandFailure where the target won't do.
 */
export async function downloadTo(
  blobs: BlobStore,
  { digest, kind, executable }: DownloadWish,
  target: string,
  stdout: Output,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<void> {
  if (kind !== 'file') {
    if (target === '-') throw new CommandFailure(ExitCode.USAGE, 'a folder needs a target other than -');
    const tree = await (kind === 'tree' ? readTreeMessage : readDirectoryTree)(blobs, digest, signal);
    const wanted = newWantedNodes();
    addTree(wanted, tree, '');
    await download(blobs, target, wanted, progress, signal);
    return;
  }
  if (target === '-') {
    for await (const chunk of blobs.read(digest, { offset: 0 }, signal)) stdout.write(chunk);
    return;
  }
  progress.totalBlobs = 1;
  progress.totalBytes = digest.sizeBytes;
  const place = (await isDirectory(target)) ? join(target, digest.hash) : resolve(target);
  if (!(await isDirectory(dirname(place)))) {
    throw new CommandFailure(ExitCode.USAGE, `${dirname(place)} is no folder; make it first`);
  }
  await downloadFile(blobs, place, { digest, executable }, progress, signal);
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}
