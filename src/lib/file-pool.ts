import { close, open } from 'node:fs';

/** A file that the pool holds open. */
export interface PooledFile {
  readonly path: string;
  readonly fd: number;
  /** Room for what its users learnt about the file, for as long as it stays open. */
  note: unknown;
}

interface Entry extends PooledFile {
  users: number;
  forgotten: boolean;
}

/**
 * Files held open for reading, at most so many at once.
 *
 * Users hold a file for one read only, never while they wait for a slow client, so that a thousand stalled readers keep
 * no file open, and those who wait for their turn always get it.
 */
export class FilePool {
  readonly #capacity: number;
  /** In order of use, the oldest first. */
  readonly #files = new Map<string, Entry>();
  readonly #opening = new Map<string, Promise<Entry>>();
  readonly #waiting: Array<() => void> = [];

  /** @param capacity how many files may be open at once; at least 1. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** How many files are open. */
  get size(): number {
    return this.#files.size;
  }

  /** The file, opened if need be; at once where it is open. Give it back with `release`. @throws what `open` throws. */
  acquire(path: string): PooledFile | Promise<PooledFile> {
    const entry = this.#files.get(path);
    if (entry === undefined) return this.#open(path);
    this.#files.delete(path);
    this.#files.set(path, entry);
    entry.users += 1;
    return entry;
  }

  release(file: PooledFile): void {
    const entry = file as Entry;
    entry.users -= 1;
    if (entry.users > 0) return;
    if (entry.forgotten) close(entry.fd, () => {});
    else if (this.#waiting.length > 0) this.#evict();
  }

  /** Closes the file once nobody uses it: it is about to be removed or replaced. */
  forget(path: string): void {
    const entry = this.#files.get(path);
    if (entry !== undefined) this.#drop(entry);
  }

  /** Closes everything; what is in use is closed when it is given back. */
  closeAll(): void {
    for (const entry of this.#files.values()) this.#drop(entry);
  }

  async #open(path: string): Promise<PooledFile> {
    for (;;) {
      const under = this.#opening.get(path);
      if (under !== undefined) {
        const entry = await under;
        entry.users += 1;
        // Its first user may have been the last and have let go of a forgotten file.
        if (!entry.forgotten) return entry;
        entry.users -= 1;
      }
      const known = this.#files.get(path);
      if (known !== undefined) {
        known.users += 1;
        return known;
      }
      if (this.#files.size + this.#opening.size < this.#capacity || this.#evict()) break;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    const opening = new Promise<Entry>((resolve, reject) => {
      open(path, 'r', (cause, fd) => {
        this.#opening.delete(path);
        if (cause !== null) {
          reject(cause);
          this.#waiting.shift()?.();
          return;
        }
        const entry: Entry = { path, fd, note: undefined, users: 1, forgotten: false };
        this.#files.set(path, entry);
        resolve(entry);
      });
    });
    this.#opening.set(path, opening);
    return opening;
  }

  /** Closes the file that nobody uses and that was used least recently, if there is one. */
  #evict(): boolean {
    for (const entry of this.#files.values()) {
      if (entry.users > 0) continue;
      this.#drop(entry);
      return true;
    }
    return false;
  }

  #drop(entry: Entry): void {
    this.#files.delete(entry.path);
    entry.forgotten = true;
    if (entry.users === 0) close(entry.fd, () => {});
    this.#waiting.shift()?.();
  }
}
