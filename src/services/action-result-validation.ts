import type { DigestFunction } from '../domain/digest-function.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type { ActionResult } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire } from '../wire/digest.ts';

/** Output files, directories and symlinks together that one result may name. */
const MAX_OUTPUTS = 100_000;

/**
 * Checks a result that came from a client or a bot, before it is given to others: paths stay below the working
 * directory, each is used once, and every digest is well formed.
 *
 * @param field what the result is called in the request.
 * @throws INVALID_ARGUMENT
 */
export function checkActionResult(result: ActionResult, digestFunction: DigestFunction, field: string): void {
  const paths = new Set<string>();
  const add = (path: string, name: string) => {
    checkOutputPath(path, name);
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
    checkOutputPath(path, `${field}.output_file_symlinks[${index}].path`);
    checkTarget(target, `${field}.output_file_symlinks[${index}].target`);
  }
  for (const [index, { path, target }] of outputDirectorySymlinks.entries()) {
    checkOutputPath(path, `${field}.output_directory_symlinks[${index}].path`);
    checkTarget(target, `${field}.output_directory_symlinks[${index}].target`);
  }
  if (result.stdoutDigest !== undefined) digestFromWire(result.stdoutDigest, digestFunction, `${field}.stdout_digest`);
  if (result.stderrDigest !== undefined) digestFromWire(result.stderrDigest, digestFunction, `${field}.stderr_digest`);
}

/** A path relative to the working directory that does not lead out of it. Empty is the working directory itself. */
function checkOutputPath(path: string, field: string): void {
  if (path === '') return;
  if (path.startsWith('/')) throw invalidArgument(field, `the path ${JSON.stringify(path)} is absolute`);
  if (path.includes('\0')) throw invalidArgument(field, 'a path holds a NUL character');
  for (const segment of path.split('/')) {
    if (segment === '') throw invalidArgument(field, `the path ${JSON.stringify(path)} has an empty segment`);
    if (segment === '..') throw invalidArgument(field, `the path ${JSON.stringify(path)} has the segment ..`);
  }
}

function checkTarget(target: string, field: string): void {
  if (target === '') throw invalidArgument(field, 'is empty');
  if (target.includes('\0')) throw invalidArgument(field, 'holds a NUL character');
}
