import { lstatSync, realpathSync, statSync } from 'node:fs';
import { join, posix, relative } from 'node:path';
import { invalidArgument, type StatusError } from '../domain/status-error.ts';
import type { RequestedOutputs } from './command-checks.ts';
import { diskFailure, systemCode } from './disk-failure.ts';

/** What the system says of a path at which there is nothing, whatever is done about it. */
const LEADS_NOWHERE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

/**
 * The working directory's real place, which may lie behind symlinks of the input tree but not outside of it.
 *
 * @param inputRoot a real path.
 * @throws INVALID_ARGUMENT when it is no directory of the input tree.
 */
export function findWorkingDirectory(inputRoot: string, workingDirectory: string): string {
  if (workingDirectory === '') return inputRoot;
  const path = join(inputRoot, workingDirectory);
  try {
    const real = realpathSync(path);
    if (isBelow(real, inputRoot) && statSync(real).isDirectory()) return real;
  } catch (thrown) {
    const code = systemCode(thrown);
    if (!LEADS_NOWHERE.has(code ?? '')) throw diskFailure(thrown, 'Failed to look around');
  }
  throw invalidArgument(
    'command.working_directory',
    `${JSON.stringify(workingDirectory)} is no directory of the inputs`,
  );
}

/**
 * Makes the directories that lead up to outputs, as Command.output_paths asks.
 *
 * @param make makes one directory.
 * @throws INVALID_ARGUMENT when a path is too long, leads through a file, or through a symlink out of the input root.
 */
export function makeOutputParents(
  inputRoot: string,
  workingDirectory: string,
  outputs: RequestedOutputs,
  make: (path: string) => void,
): void {
  const made = new Set<string>();
  for (const { path } of outputs.paths) {
    const parent = posix.dirname(path);
    if (path === '' || parent === '.' || made.has(parent)) continue;
    made.add(parent);
    const folder = join(workingDirectory, parent);
    if (!isBelow(folder, inputRoot)) throw leadsOut(path);
    try {
      // Where a path climbs above the working directory, its way is looked at from the top.
      const from = isBelow(folder, workingDirectory) ? workingDirectory : inputRoot;
      makeFolders(inputRoot, from, relative(from, folder), path, make);
    } catch (thrown) {
      if (systemCode(thrown) === 'ENAMETOOLONG') throw invalidArgument('command.output_paths', 'a path is too long');
      throw diskFailure(thrown, 'Failed to make the folder of an output');
    }
  }
}

function makeFolders(
  inputRoot: string,
  from: string,
  folder: string,
  output: string,
  make: (path: string) => void,
): void {
  let at = from;
  for (const segment of folder === '' ? [] : folder.split('/')) {
    at = join(at, segment);
    const stats = lstatSync(at, { throwIfNoEntry: false });
    if (stats === undefined) {
      make(at);
    } else if (stats.isSymbolicLink()) {
      at = followInside(inputRoot, at, output);
    } else if (!stats.isDirectory()) {
      throw invalidArgument('command.output_paths', `${JSON.stringify(output)} leads through a file of the inputs`);
    }
  }
}

function followInside(inputRoot: string, symlink: string, output: string): string {
  try {
    const real = realpathSync(symlink);
    if (isBelow(real, inputRoot) && statSync(real).isDirectory()) return real;
  } catch {
    // Said below: it leads nowhere.
  }
  throw leadsOut(output);
}

function leadsOut(output: string): StatusError {
  return invalidArgument('command.output_paths', `${JSON.stringify(output)} leads through a symlink out of the inputs`);
}

/** Whether a real path is `folder` or lies in it. */
export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
