import { chmodSync, lstatSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { readdir, rmdir, unlink } from 'node:fs/promises';
import type { Logger } from '../lib/log.ts';

/** Well below what the system takes, which is 4096. */
const LONGEST_PATH_BYTES = 2_048;
const SLASH = Buffer.from('/');

/** Removes a tree, whatever an action did to it. Never throws: what can't be removed is logged. */
export async function removeFolder(path: string, logger: Logger): Promise<void> {
  try {
    await removeTree(path);
  } catch {
    try {
      removeStubborn(path);
    } catch (thrown) {
      logger.warn({ err: thrown, path }, 'a work folder can not be removed; the next start tries again');
    }
  }
}

/** Removes what a directory holds, save the directories of `keep`. @throws what the file system throws. */
export async function emptyFolder(path: string, keep: ReadonlySet<string>, logger: Logger): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = `${path}/${entry.name}`;
    if (keep.has(child)) continue;
    if (entry.isDirectory()) await removeFolder(child, logger);
    else await unlink(child);
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

/**
 * Removes a tree, one thing after the other and never in the event loop: a file whose content is on its way to the disk
 * holds up whoever removes it, and a directory waits for the file system's journal, for tens of milliseconds each while
 * others write much. With fs.rm it is several times dearer.
 */
async function removeTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = `${path}/${entry.name}`;
    if (entry.isDirectory()) await removeTree(child);
    else await unlink(child);
  }
  await rmdir(path);
}

/**
 * Removes a tree that resists: rights that an action took away come back, names need not be UTF-8, and what lies deeper
 * than a path can reach is moved up beside the tree and removed from there.
 */
function removeStubborn(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
  const trees: Buffer[] = [Buffer.from(path)];
  for (let tree = trees.pop(); tree !== undefined; tree = trees.pop()) {
    const visit = (directory: Buffer): void => {
      chmodSync(directory, 0o700);
      for (const name of readdirSync(directory, { encoding: 'buffer' })) {
        const child = Buffer.concat([directory, SLASH, name]);
        if (!lstatSync(child).isDirectory()) {
          unlinkSync(child);
        } else if (child.byteLength < LONGEST_PATH_BYTES) {
          visit(child);
        } else {
          // A directory has to be writable itself to get another parent.
          chmodSync(child, 0o700);
          trees.push(moveUp(child, path));
        }
      }
      rmdirSync(directory);
    };
    visit(tree);
  }
}

/** Moves a directory beside another one. @returns where it is now. */
function moveUp(directory: Buffer, beside: string): Buffer {
  for (let i = 1; ; i++) {
    const place = Buffer.from(`${beside}.${i}`);
    if (lstatSync(place, { throwIfNoEntry: false }) !== undefined) continue;
    renameSync(directory, place);
    return place;
  }
}
