import { mkdirSync, renameSync } from 'node:fs';
import { rename, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isNotFound } from '../lib/file-system-error.ts';

/**
 * Empty directories that no execution needs at the moment.
 *
 * To take one costs a rename. To remove one and make another costs ext4 up to a millisecond each: before it makes an inode
 * it passes by every one of the same group that was given up in the last minutes, so that whoever makes files beside us,
 * such as a compiler, pays for what we remove.
 */
export class SpareDirectories {
  readonly #folder: string;
  readonly #most: number;
  readonly #names: string[] = [];
  #count = 0;

  /** @param folder on the same file system as what is made. @param most how many are kept. */
  constructor(folder: string, most: number) {
    this.#folder = folder;
    this.#most = most;
  }

  /** Makes the folder in which they wait, whose parent is there and which itself is not. */
  open(): void {
    mkdirSync(this.#folder, { mode: 0o700 });
  }

  /** Makes a directory with the usual mode. @throws what the file system throws. */
  make(path: string): void {
    const name = this.#names.pop();
    if (name === undefined) {
      mkdirSync(path);
      return;
    }
    try {
      renameSync(join(this.#folder, name), path);
    } catch (thrown) {
      // The path leads nowhere, or the spare one was taken away: mkdir tells which.
      this.#names.push(name);
      if (!isNotFound(thrown)) throw thrown;
      mkdirSync(path);
      this.#names.pop();
    }
  }

  /**
   * Puts a directory by. Not in the event loop, since it may wait for the file system's journal.
   *
   * @param path an empty directory with the usual mode, which no action has touched.
   * @throws what the file system throws.
   */
  async park(path: string): Promise<void> {
    if (this.#names.length >= this.#most) {
      await rmdir(path);
      return;
    }
    this.#count += 1;
    const name = String(this.#count);
    await rename(path, join(this.#folder, name));
    this.#names.push(name);
  }
}
