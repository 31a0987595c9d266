import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createDigest, type Digest, digestKey } from '../../domain/digest.ts';
import { digestFunctionBySegment } from '../../domain/digest-function.ts';
import { Deferred } from '../../lib/deferred.ts';
import { syncDirectory } from '../../lib/file-io.ts';
import { isNotFound } from '../../lib/file-system-error.ts';
import { toStatusError } from '../segments/segment-log.ts';

const FILE_NAME = 'write-back';
const NEW_FILE_NAME = 'write-back.new';
/** Lines beyond those of what still waits, before the file is written anew. */
const SPARE_LINES = 10_000;
/** `+` for what waits from then on, `-` for what does so no more. A line without its end was torn, and counts for nothing. */
const LINE = /^([+-]) ([a-z0-9]+) ([0-9a-f]+) (0|[1-9][0-9]*)$/;

/**
 * Which blobs a fast store has that the slow one behind it has not got yet, in a file of the fast store's folder, so that
 * the next process goes on where this one was killed.
 *
 * Lines are appended, those of one moment in one write. Whoever has the lock of the folder has the file.
 */
export class WriteBackJournal {
  readonly #directory: string;
  readonly #sync: boolean;
  readonly #waiting: Map<string, Digest>;
  #file: FileHandle;
  #lines = 0;
  /** Whether the last line may lack its end. */
  #torn = false;
  #queue: Array<{ readonly line: string; readonly written: Deferred<void> }> = [];
  #writing: Promise<void> | undefined;

  private constructor(directory: string, sync: boolean, waiting: Map<string, Digest>, file: FileHandle) {
    this.#directory = directory;
    this.#sync = sync;
    this.#waiting = waiting;
    this.#file = file;
  }

  /**
   * Reads what the last process left, and begins a new file with it.
   *
   * @param directory of the fast store, whose lock the caller has.
   * @param sync whether a line is on the disk, and not only with the system, before it counts as written.
   */
  static async open(directory: string, sync: boolean): Promise<WriteBackJournal> {
    const waiting = await readWaiting(join(directory, FILE_NAME));
    return new WriteBackJournal(directory, sync, waiting, await begin(directory, waiting.values(), sync));
  }

  /** What waits. */
  get waiting(): readonly Digest[] {
    return [...this.#waiting.values()];
  }

  /** Resolves once it is written that the blob waits. @throws RESOURCE_EXHAUSTED when the disk is full. */
  add(digest: Digest): Promise<void> {
    this.#waiting.set(digestKey(digest), digest);
    return this.#append(`+ ${nameOf(digest)}\n`);
  }

  /** @throws as `add` does; the next process then asks the slow store for the blob once more. */
  remove(digest: Digest): Promise<void> {
    this.#waiting.delete(digestKey(digest));
    return this.#append(`- ${nameOf(digest)}\n`);
  }

  /** Waits for what is being written. No other call may follow. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  #append(line: string): Promise<void> {
    const written = new Deferred<void>();
    this.#queue.push({ line, written });
    this.#writing ??= this.#write();
    return written.promise;
  }

  async #write(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0);
      try {
        if (this.#lines > this.#waiting.size + SPARE_LINES) await this.#beginAnew();
        const text = group.map(({ line }) => line).join('');
        await this.#file.appendFile(this.#torn ? `\n${text}` : text);
        this.#torn = false;
        if (this.#sync) await this.#file.datasync();
        this.#lines += group.length;
        for (const { written } of group) written.resolve();
      } catch (cause) {
        this.#torn = true;
        for (const { written } of group) written.reject(toStatusError(cause));
      }
    }
    // At once: what is added from now on begins anew.
    this.#writing = undefined;
  }

  async #beginAnew(): Promise<void> {
    const file = await begin(this.#directory, this.#waiting.values(), this.#sync);
    await this.#file.close();
    this.#file = file;
    this.#lines = this.#waiting.size;
  }
}

function nameOf({ digestFunction, hash, sizeBytes }: Digest): string {
  return `${digestFunction.name.toLowerCase()} ${hash} ${sizeBytes}`;
}

async function readWaiting(path: string): Promise<Map<string, Digest>> {
  const waiting = new Map<string, Digest>();
  const text = await readFile(path, 'latin1').catch((cause: unknown) => {
    if (isNotFound(cause)) return '';
    throw cause;
  });
  for (const line of text.split('\n').slice(0, -1)) {
    const [, sign, name = '', hash = '', size] = LINE.exec(line) ?? [];
    const digestFunction = digestFunctionBySegment(name);
    if (digestFunction?.hashLength !== hash.length || !Number.isSafeInteger(Number(size))) continue;
    const digest = createDigest(digestFunction, hash, Number(size));
    if (sign === '+') waiting.set(digestKey(digest), digest);
    else waiting.delete(digestKey(digest));
  }
  return waiting;
}

/** Puts a file with these blobs alone into the place of the old one. */
async function begin(directory: string, waiting: Iterable<Digest>, sync: boolean): Promise<FileHandle> {
  const path = join(directory, NEW_FILE_NAME);
  const file = await open(path, 'w');
  try {
    await file.appendFile([...waiting].map((digest) => `+ ${nameOf(digest)}\n`).join(''));
    if (sync) await file.sync();
    await rename(path, join(directory, FILE_NAME));
    if (sync) await syncDirectory(directory);
    return file;
  } catch (cause) {
    await file.close();
    await rm(path, { force: true });
    throw cause;
  }
}
