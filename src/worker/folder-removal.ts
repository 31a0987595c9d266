import { chmodSync, lstatSync, readdirSync, rmdirSync, rmSync, unlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../lib/log.ts';

const MOST_SYNC_OPERATIONS = 1_000;

/** Removes a tree, whatever an action did to it. Never throws: what can't be removed is logged. */
export async function removeFolder(path: string, logger: Logger): Promise<void> {
  try {
    if (removeSmall(path, { operations: 0 })) return;
    await rm(path, { recursive: true, force: true });
  } catch {
    try {
      makeWritable(path);
      rmSync(path, { recursive: true, force: true });
    } catch (thrown) {
      logger.warn({ err: thrown, path }, 'a work folder can not be removed; the next start tries again');
    }
  }
}

/** Removes what a directory holds, save the directories of `keep`. @throws what the file system throws. */
export async function emptyFolder(path: string, keep: ReadonlySet<string>, logger: Logger): Promise<void> {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const child = `${path}/${entry.name}`;
    if (keep.has(child)) continue;
    if (entry.isDirectory()) await removeFolder(child, logger);
    else unlinkSync(child);
  }
}

/**
 * The directories of a tree, itself included, whose change time lies before a moment, as the directories above them
 * do: nothing was added, removed, renamed or given other rights in them since.
 *
 * @param limit with more directories than this the answer is none at all.
 */
export function untouchedDirectories(root: string, before: number, limit: number): ReadonlySet<string> {
  const untouched = new Set<string>();
  const visit = (path: string): boolean => {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined || !stats.isDirectory() || stats.ctimeMs >= before) return true;
    untouched.add(path);
    if (untouched.size > limit) return false;
    return readdirSync(path, { withFileTypes: true }).every(
      (entry) => !entry.isDirectory() || visit(`${path}/${entry.name}`),
    );
  };
  return visit(root) ? untouched : new Set();
}

/** Removes a tree synchronously unless it turns out large: several times cheaper than fs.rm. @returns whether it did. */
function removeSmall(path: string, budget: { operations: number }): boolean {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    budget.operations += 1;
    if (budget.operations > MOST_SYNC_OPERATIONS) return false;
    const child = `${path}/${entry.name}`;
    if (!entry.isDirectory()) unlinkSync(child);
    else if (!removeSmall(child, budget)) return false;
  }
  rmdirSync(path);
  return true;
}

/** An action may take the worker's own permissions away from directories that it made. */
function makeWritable(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !stats.isDirectory()) return;
  chmodSync(path, 0o700);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) makeWritable(join(path, entry.name));
  }
}
