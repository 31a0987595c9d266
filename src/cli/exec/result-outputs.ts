import { createHash } from 'node:crypto';
import type { DigestFunction } from '../../domain/digest-function.ts';
import type { BlobStore } from '../../ports/blob-store.ts';
import type {
  ActionResult,
  Digest as WireDigest,
} from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire } from '../../wire/digest.ts';
import type { Output } from '../command-context.ts';
import { addTree, checkBelow, download, newWantedNodes } from '../download.ts';
import type { LiveOutput, LiveOutputs, PrintedStart } from '../live-output.ts';
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
interface ResultStream {
  readonly raw: Uint8Array;
  readonly digest: WireDigest | undefined;
}

/**
 * Prints what an action printed, save what was printed while it ran. Where that turns out to be of another run than the
 * result, everything is printed.
 *
 * @param live what was printed before; undefined for nothing.
 */
export async function printOutput(
  store: BlobStore,
  result: ActionResult,
  digestFunction: DigestFunction,
  live: LiveOutput | undefined,
  outputs: LiveOutputs,
  signal: AbortSignal,
): Promise<void> {
  const streams = {
    stdout: { raw: result.stdoutRaw, digest: result.stdoutDigest },
    stderr: { raw: result.stderrRaw, digest: result.stderrDigest },
  };
  for (const name of ['stdout', 'stderr'] as const) {
    const chunks = () => chunksOf(store, streams[name], digestFunction, signal);
    const printed = live?.printed(name);
    if (printed !== undefined && isAll(printed, streams[name].digest)) continue;
    if (printed !== undefined && (await printRest(chunks(), printed, outputs[name]))) continue;
    for await (const chunk of chunks()) outputs[name].write(chunk);
  }
}

async function* chunksOf(
  store: BlobStore,
  { raw, digest }: ResultStream,
  digestFunction: DigestFunction,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  if (raw.byteLength > 0 || digest === undefined) {
    yield raw;
    return;
  }
  yield* store.read(digestFromWire(digest, digestFunction, 'stdout_digest'), { offset: 0 }, signal);
}

/** Whether what was printed is what is stored, as far as that shows without fetching it: by the hash of both. */
function isAll({ bytes, hash }: PrintedStart, stored: WireDigest | undefined): boolean {
  return stored?.hash === hash && stored.sizeBytes === BigInt(bytes);
}

/** @returns whether it begins with what was printed; if not, nothing is printed. */
async function printRest(chunks: AsyncIterable<Uint8Array>, printed: PrintedStart, output: Output): Promise<boolean> {
  const hash = createHash('sha256');
  let left = printed.bytes;
  for await (const chunk of chunks) {
    const known = chunk.subarray(0, left);
    if (known.byteLength > 0) {
      hash.update(known);
      left -= known.byteLength;
      if (left === 0 && hash.digest('hex') !== printed.hash) return false;
    }
    if (known.byteLength < chunk.byteLength) output.write(chunk.subarray(known.byteLength));
  }
  return left === 0;
}
