import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { IdGenerator } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import { diskFailure } from './disk-failure.ts';

/** The folder of one execution. */
export interface WorkFolder {
  readonly path: string;
  /** Real path of the empty folder for the input root. */
  readonly inputRoot: string;
  /** For files that the action must not see. */
  readonly scratch: string;
}

/** Folders of executions: made empty, removed whatever an action did to them. */
export class WorkFolders {
  readonly #parent: string;
  readonly #ids: IdGenerator;
  readonly #logger: Logger;

  constructor(parent: string, ids: IdGenerator, logger: Logger) {
    this.#parent = parent;
    this.#ids = ids;
    this.#logger = logger;
  }

  /** Makes the parent folder, and removes what a run before left in it. */
  async open(): Promise<void> {
    mkdirSync(this.#parent, { recursive: true, mode: 0o755 });
    for (const name of readdirSync(this.#parent)) await this.#remove(join(this.#parent, name));
  }

  /** Bytes that are left on the disk. */
  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#parent);
    return bavail * bsize;
  }

  create(): WorkFolder {
    const path = join(this.#parent, this.#ids.uuid());
    try {
      mkdirSync(path, { mode: 0o700 });
      mkdirSync(join(path, 'scratch'), { mode: 0o700 });
      mkdirSync(join(path, 'root'), { mode: 0o755 });
      const real = realpathSync(path);
      return { path: real, inputRoot: join(real, 'root'), scratch: join(real, 'scratch') };
    } catch (thrown) {
      throw diskFailure(thrown, 'Failed to make a work folder');
    }
  }

  /** Never throws: what can't be removed is logged, and removed at the next start. */
  async remove(folder: WorkFolder): Promise<void> {
    await this.#remove(folder.path);
  }

  async #remove(path: string): Promise<void> {
    try {
      if (removeSmall(path, { operations: 0 })) return;
      await rm(path, { recursive: true, force: true });
    } catch {
      try {
        makeWritable(path);
        rmSync(path, { recursive: true, force: true });
      } catch (thrown) {
        this.#logger.warn({ err: thrown, path }, 'a work folder can not be removed; the next start tries again');
      }
    }
  }
}

const MOST_SYNC_OPERATIONS = 1_000;

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
