import {
  chmodSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  statfsSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { IdGenerator } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import { diskFailure } from './disk-failure.ts';
import { emptyFolder, removeFolder, untouchedDirectories } from './folder-removal.ts';
import { SpareDirectories } from './spare-directories.ts';

/** The folder of one execution. */
export interface WorkFolder {
  readonly path: string;
  /** Real path of the folder for the input root. It holds no file, and no directories but those that stand. */
  readonly inputRoot: string;
  /** Files outside of the input root that take what the action prints. Empty. */
  readonly stdoutFile: string;
  readonly stderrFile: string;
  /** For files that the action must not see: the two above. */
  readonly scratch: string;
  /** Absolute paths of empty directories below the input root that an earlier execution left untouched. */
  readonly standing: ReadonlySet<string>;
  /** Where directories below the input root come from, and where those go that are not needed. */
  readonly directories: SpareDirectories;
}

/** Folders that are kept for the executions to come. */
const MOST_SPARE = 16;
/** A tree with more directories is not worth the looking over. */
const MOST_STANDING = 500;
/** Empty directories that wait for an execution which needs more than its folder has. */
const MOST_SPARE_DIRECTORIES = 1_000;
/** Clocks of file systems tick every few milliseconds; one that takes longer is not waited for. */
const LONGEST_TICK_MILLISECONDS = 20;

/**
 * Folders of executions: each appears empty to the next, whatever an action did to it.
 *
 * Actions of one build have nearly the same directories, and making them costs more than all else of laying out inputs:
 * ext4 looks at every inode that was given up in the last minutes before it makes a new one. So directories stay; those
 * that the next action does not have are put by for one that does, and only those that an action may have touched are
 * removed. The same holds for the files into which it prints, when it prints nothing. Whether it has touched something is
 * told by the change time that the kernel keeps and no process can set back: one before the command's start is our own.
 */
export class WorkFolders {
  readonly #parent: string;
  readonly #ids: IdGenerator;
  readonly #logger: Logger;
  readonly #spare: WorkFolder[] = [];
  readonly #directories: SpareDirectories;
  #clockIsFine = true;

  constructor(parent: string, ids: IdGenerator, logger: Logger) {
    this.#parent = parent;
    this.#ids = ids;
    this.#logger = logger;
    this.#directories = new SpareDirectories(join(parent, 'directories'), MOST_SPARE_DIRECTORIES);
  }

  /** Makes the parent folder, and removes what a run before left in it. */
  async open(): Promise<void> {
    mkdirSync(this.#parent, { recursive: true, mode: 0o755 });
    for (const name of readdirSync(this.#parent)) await removeFolder(join(this.#parent, name), this.#logger);
    this.#directories.open();
  }

  /** Bytes that are left on the disk. */
  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#parent);
    return bavail * bsize;
  }

  create(): WorkFolder {
    const spare = this.#spare.pop();
    if (spare !== undefined) return spare;
    const path = join(this.#parent, this.#ids.uuid());
    try {
      mkdirSync(path, { mode: 0o700 });
      mkdirSync(join(path, 'scratch'), { mode: 0o700 });
      mkdirSync(join(path, 'root'), { mode: 0o755 });
      const real = realpathSync(path);
      const scratch = join(real, 'scratch');
      const folder = {
        path: real,
        inputRoot: join(real, 'root'),
        scratch,
        stdoutFile: join(scratch, 'stdout'),
        stderrFile: join(scratch, 'stderr'),
        standing: new Set<string>(),
        directories: this.#directories,
      };
      for (const file of [folder.stdoutFile, folder.stderrFile]) makeEmptyFile(file);
      return folder;
    } catch (thrown) {
      // On a full disk each try would leave a part, which stays until the next start.
      rmSync(path, { recursive: true, force: true });
      throw diskFailure(thrown, 'Failed to make a work folder');
    }
  }

  /**
   * To be called when everything is laid out, before the command starts.
   *
   * @returns a moment of the file system's own clock, later than every change so far and no later than any to come;
   *   undefined where its clock is too coarse to tell.
   */
  async seal(folder: WorkFolder): Promise<number | undefined> {
    if (!this.#clockIsFine) return undefined;
    const before = touch(folder.scratch);
    for (let waited = 0; waited <= LONGEST_TICK_MILLISECONDS; waited += 1) {
      const now = touch(folder.scratch);
      if (now > before) return now;
      await pause(1);
    }
    this.#clockIsFine = false;
    return undefined;
  }

  /** Directories of the input root that nothing has changed since `seal`. To be asked before anything is removed. */
  untouched(folder: WorkFolder, sealed: number | undefined): ReadonlySet<string> {
    if (sealed === undefined || this.#spare.length >= MOST_SPARE) return new Set();
    return untouchedDirectories(folder.inputRoot, sealed, MOST_STANDING);
  }

  /**
   * Gives a folder back: what is untouched stays for another execution, everything else is removed. Never throws: what can't be removed is
   * logged, and removed at the next start.
   */
  async release(folder: WorkFolder, untouched: ReadonlySet<string>, sealed: number | undefined): Promise<void> {
    if (sealed !== undefined && untouched.has(folder.inputRoot)) {
      try {
        const files = [folder.stdoutFile, folder.stderrFile];
        const kept = new Set(files.filter((file) => isUntouchedFile(file, sealed)));
        await emptyFolder(folder.scratch, kept, this.#logger);
        for (const file of files) if (!kept.has(file)) makeEmptyFile(file);
        for (const directory of untouched) await emptyFolder(directory, untouched, this.#logger);
        const standing = new Set(untouched);
        standing.delete(folder.inputRoot);
        this.#spare.push({ ...folder, standing });
        return;
      } catch (thrown) {
        this.#logger.debug({ err: thrown, path: folder.path }, 'a work folder is not used again');
      }
    }
    await removeFolder(folder.path, this.#logger);
  }
}

/** Changes the folder's change time. @returns it, in milliseconds with fractions. */
function touch(folder: string): number {
  chmodSync(folder, 0o700);
  return lstatSync(folder).ctimeMs;
}

function makeEmptyFile(path: string): void {
  closeSync(openSync(path, 'wx', 0o600));
}

/** Whether nothing was written into a file, and nothing else done to it, since a moment. */
function isUntouchedFile(path: string, since: number): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isFile() === true && stats.size === 0 && stats.ctimeMs < since;
}
