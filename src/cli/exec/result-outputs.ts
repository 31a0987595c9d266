import type { DigestFunction } from '../../domain/digest-function.ts';
import type { BlobStore } from '../../ports/blob-store.ts';
import type {
  ActionResult,
  Digest as WireDigest,
} from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire } from '../../wire/digest.ts';
import type { Output } from '../command-context.ts';
import { addTree, checkBelow, download, newWantedNodes } from '../download.ts';
import type { TransferProgress } from '../local-blobs.ts';
import { symlinksOf } from '../present/action-result.ts';
import { readDirectoryTree, readTreeMessage } from '../stored-messages.ts';

/** Puts what an action made into a folder of this machine. @throws CommandFailure for paths that lead out of it. */
export async function downloadOutputs(
  store: BlobStore,
  result: ActionResult,
  digestFunction: DigestFunction,
  folder: string,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<void> {
  const wanted = newWantedNodes();
  for (const { path, digest, isExecutable, contents } of result.outputFiles) {
    const checked = digestFromWire(digest, digestFunction, 'output_files.digest');
    const inline = contents.byteLength === checked.sizeBytes ? { contents } : {};
    wanted.files.push({ path: checkBelow(path), digest: checked, executable: isExecutable, ...inline });
  }
  for (const { path, treeDigest, rootDirectoryDigest } of result.outputDirectories) {
    const place = checkBelow(path);
    const digest = digestFromWire(treeDigest ?? rootDirectoryDigest, digestFunction, 'output_directories.tree_digest');
    const read = treeDigest === undefined ? readDirectoryTree : readTreeMessage;
    addTree(wanted, await read(store, digest, signal), place);
  }
  for (const { path, target } of symlinksOf(result)) wanted.symlinks.push({ path: checkBelow(path), target });
  if (wanted.files.length + wanted.directories.length + wanted.symlinks.length === 0) return;
  await download(store, folder, wanted, progress, signal);
}

/** What an action printed to one stream: bytes as they came, in line or stored. */
export async function printStream(
  store: BlobStore,
  raw: Uint8Array,
  digest: WireDigest | undefined,
  digestFunction: DigestFunction,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  if (raw.byteLength > 0 || digest === undefined) {
    output.write(raw);
    return;
  }
  const checked = digestFromWire(digest, digestFunction, 'stdout_digest');
  for await (const chunk of store.read(checked, { offset: 0 }, signal)) output.write(chunk);
}
