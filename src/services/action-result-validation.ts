import type { Digest } from '../domain/digest.ts';
import { invalidArgument, isInfrastructureCode, StatusError } from '../domain/status-error.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { Action, type ActionResult, Command } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { checkCommandForm, checkOutputPath, depthOf, MAX_ACTION_BYTES } from '../wire/command.ts';
import { digestFromWire } from '../wire/digest.ts';

/** Output files, directories and symlinks together that one result may name. */
const MAX_OUTPUTS = 100_000;

/**
 * Checks a result that came from a client or a bot, before it is given to others: paths stay in the input root, each is
 * used once, and every digest is well formed.
 *
 * @param blobs where Action and Command are looked up.
 * @param field what the result is called in the request.
 * @throws INVALID_ARGUMENT
 */
export async function checkActionResult(
  result: ActionResult,
  actionDigest: Digest,
  blobs: BlobStore,
  field: string,
  signal: AbortSignal,
): Promise<void> {
  const { digestFunction } = actionDigest;
  const depth = await depthForPaths(result, actionDigest, blobs, signal);
  const paths = new Set<string>();
  const add = (path: string, name: string) => {
    checkOutputPath(path, depth, name);
    if (paths.has(path)) throw invalidArgument(name, `the path ${JSON.stringify(path)} occurs twice`);
    paths.add(path);
  };
  const { outputFiles, outputDirectories, outputSymlinks, outputFileSymlinks, outputDirectorySymlinks } = result;
  const count = outputFiles.length + outputDirectories.length + outputSymlinks.length;
  if (count + outputFileSymlinks.length + outputDirectorySymlinks.length > MAX_OUTPUTS) {
    throw invalidArgument(field, `names more than ${MAX_OUTPUTS} outputs`);
  }
  for (const [index, { path, digest }] of outputFiles.entries()) {
    const name = `${field}.output_files[${index}]`;
    if (path === '') throw invalidArgument(`${name}.path`, 'is empty');
    add(path, `${name}.path`);
    digestFromWire(digest, digestFunction, `${name}.digest`);
  }
  for (const [index, { path, treeDigest, rootDirectoryDigest }] of outputDirectories.entries()) {
    const name = `${field}.output_directories[${index}]`;
    add(path, `${name}.path`);
    if (treeDigest === undefined && rootDirectoryDigest === undefined) {
      throw invalidArgument(name, 'neither tree_digest nor root_directory_digest is set');
    }
    if (treeDigest !== undefined) digestFromWire(treeDigest, digestFunction, `${name}.tree_digest`);
    if (rootDirectoryDigest !== undefined) {
      digestFromWire(rootDirectoryDigest, digestFunction, `${name}.root_directory_digest`);
    }
  }
  for (const [index, { path, target }] of outputSymlinks.entries()) {
    const name = `${field}.output_symlinks[${index}]`;
    add(path, `${name}.path`);
    checkTarget(target, `${name}.target`);
  }
  // The two older lists repeat what output_symlinks has, so that their paths are not new.
  for (const [index, { path, target }] of outputFileSymlinks.entries()) {
    checkOutputPath(path, depth, `${field}.output_file_symlinks[${index}].path`);
    checkTarget(target, `${field}.output_file_symlinks[${index}].target`);
  }
  for (const [index, { path, target }] of outputDirectorySymlinks.entries()) {
    checkOutputPath(path, depth, `${field}.output_directory_symlinks[${index}].path`);
    checkTarget(target, `${field}.output_directory_symlinks[${index}].target`);
  }
  if (result.stdoutDigest !== undefined) digestFromWire(result.stdoutDigest, digestFunction, `${field}.stdout_digest`);
  if (result.stderrDigest !== undefined) digestFromWire(result.stderrDigest, digestFunction, `${field}.stderr_digest`);
}

/**
 * How far paths of a result may climb above the working directory, which its Command alone tells. That is read only where a
 * path does climb: hardly any client's does but BuildStream's.
 *
 * @returns 0 where no path climbs, and where Action or Command can't be read or Execute would refuse it: paths that climb are
 *   then refused.
 */
async function depthForPaths(
  result: ActionResult,
  actionDigest: Digest,
  blobs: BlobStore,
  signal: AbortSignal,
): Promise<number> {
  if (![...outputPathsOf(result)].some((path) => path.split('/').includes('..'))) return 0;
  try {
    const action = Action.decode(await readMessage(blobs, actionDigest, signal));
    const commandDigest = digestFromWire(action.commandDigest, actionDigest.digestFunction, 'action.command_digest');
    const command = Command.decode(await readMessage(blobs, commandDigest, signal));
    // Who made it is not known here: unchecked, a working directory of dots would count for as many steps.
    checkCommandForm(command);
    return depthOf(command.workingDirectory);
  } catch (cause) {
    signal.throwIfAborted();
    const { code } = StatusError.from(cause);
    if (cause instanceof StatusError && isInfrastructureCode(code)) throw cause;
    return 0;
  }
}

function* outputPathsOf(result: ActionResult): Iterable<string> {
  const { outputFiles, outputDirectories, outputSymlinks, outputFileSymlinks, outputDirectorySymlinks } = result;
  for (const list of [outputFiles, outputDirectories, outputSymlinks, outputFileSymlinks, outputDirectorySymlinks]) {
    for (const { path } of list) yield path;
  }
}

async function readMessage(blobs: BlobStore, digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
  if (digest.sizeBytes > MAX_ACTION_BYTES) throw invalidArgument('digest', `more than ${MAX_ACTION_BYTES} bytes`);
  return await blobs.readWhole(digest, signal);
}

function checkTarget(target: string, field: string): void {
  if (target === '') throw invalidArgument(field, 'is empty');
  if (target.includes('\0')) throw invalidArgument(field, 'holds a NUL character');
}
