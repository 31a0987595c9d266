import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readAt, syncDirectory } from '../../../lib/file-io.ts';
import type { FilePool, PooledFile } from '../../../lib/file-pool.ts';
import { errorCode, isNotFound } from '../../../lib/file-system-error.ts';
import { KeyedLock } from '../../../lib/keyed-lock.ts';
import {
  digestRecordKey,
  keyHash,
  keySizeBytes,
  keyTag,
  newRecordKey,
  type RecordKey,
} from '../../segments/record-key.ts';
import { areBlocksIntact, BLOCK_BYTES, isTrailer, trailerBytes } from './block-checksums.ts';

/**
 * Bytes of one chunk. Each is copied into a message and that into a frame, and sixteen readers hold some of each at once:
 * with 1 MiB the process came to 290-360 MiB, with this to 215, at no more CPU for a byte.
 */
const CHUNK_BYTES = 256 * 1024;
const HASH_CHARACTERS = 64;
const FILE_NAME = /^([0-9a-f]{64})-(\d{1,16})-(\d{1,3})$/;

/** The bytes in a file are not those that were written. */
export class DamagedFileError extends Error {
  constructor(path: string) {
    super(`${path} is damaged`);
    this.name = 'DamagedFileError';
  }
}

/**
 * Large blobs, each in a file of its own, named by its key, in 256 folders by the first two characters of the hash.
 *
 * A file is written under another name elsewhere and renamed once it is whole. Its last bytes are checksums, so that
 * what has changed since is noticed before it is sent.
 */
export class BlobFiles {
  readonly #directory: string;
  readonly #temporary: string;
  readonly #pool: () => FilePool;
  readonly #lock = new KeyedLock();
  #sequence = 0;

  /** @param pool gives the files held open for reading; known only once the record store is open. */
  constructor(directory: string, pool: () => FilePool) {
    this.#directory = join(directory, 'files');
    this.#temporary = join(directory, 'tmp');
    this.#pool = pool;
  }

  /** Makes the folders and removes what an earlier process left half written. */
  async prepare(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
    await mkdir(this.#temporary, { recursive: true });
    await mkdir(this.#directory, { recursive: true });
  }

  /** A name for a file being written. */
  temporaryPath(): string {
    this.#sequence += 1;
    return join(this.#temporary, `${this.#sequence}`);
  }

  /** Bytes on the disk of the file of this key. */
  bytesOf(key: RecordKey): number {
    const size = keySizeBytes(key);
    return size + trailerBytes(size);
  }

  /**
   * Puts a whole file in its place, unless `isWanted` says, at the last moment, that there is no need any more.
   *
   * @param published is called at once when it stands there, before anything else can happen to the key.
   */
  publish(
    key: RecordKey,
    temporary: string,
    sync: boolean,
    isWanted: () => boolean,
    published: () => void,
  ): Promise<void> {
    const path = this.#pathOf(key);
    return this.#lock.run(path, async () => {
      if (!isWanted()) {
        await rm(temporary, { force: true });
        return;
      }
      const folder = join(path, '..');
      this.#pool().forget(path);
      await rename(temporary, path).catch(async (cause: unknown) => {
        if (!isNotFound(cause)) throw cause;
        await mkdir(folder, { recursive: true });
        if (sync) await syncDirectory(this.#directory);
        await rename(temporary, path);
      });
      try {
        if (sync) await syncDirectory(folder);
      } catch (cause) {
        await rm(path, { force: true });
        throw cause;
      }
      published();
    });
  }

  /** Removes a file, unless `isWanted` says that it has come back meanwhile. */
  async remove(key: RecordKey, isWanted: () => boolean): Promise<void> {
    const path = this.#pathOf(key);
    await this.#lock.run(path, async () => {
      if (isWanted()) return;
      this.#pool().forget(path);
      await rm(path, { force: true });
    });
  }

  /**
   * Bytes of a blob from `start` to `end`, in chunks of at most 1 MiB, the next read while one is being used.
   *
   * @throws DamagedFileError; ENOENT.
   */
  async *read(key: RecordKey, start: number, end: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    let next: Promise<Uint8Array> | undefined = this.#readChunk(key, start, end);
    let position = start;
    try {
      while (next !== undefined) {
        signal.throwIfAborted();
        const chunk: Uint8Array = await next;
        position += chunk.byteLength;
        next = position < end ? this.#readChunk(key, position, end) : undefined;
        // It may fail while the consumer is busy with the chunk before.
        next?.catch(() => {});
        yield chunk;
      }
    } finally {
      next?.catch(() => {});
    }
  }

  /** Reads a whole file and holds it against its checksums. */
  async verify(key: RecordKey, signal: AbortSignal): Promise<'whole' | 'lost' | 'damaged'> {
    try {
      // A file that is open can be read on after it was removed.
      await stat(this.#pathOf(key));
      for await (const _ of this.read(key, 0, keySizeBytes(key), signal));
      return 'whole';
    } catch (cause) {
      if (isNotFound(cause)) return 'lost';
      if (cause instanceof DamagedFileError) return 'damaged';
      throw cause;
    }
  }

  /** Every whole file that is there. @param onStranger is given the path of whatever else lies there. */
  async *list(
    onStranger?: (path: string) => Promise<void>,
  ): AsyncGenerator<{ key: RecordKey; lastUseSeconds: number }> {
    for (const folder of await readdir(this.#directory, { withFileTypes: true })) {
      if (!folder.isDirectory()) {
        await onStranger?.(join(this.#directory, folder.name));
        continue;
      }
      for (const name of await readdir(join(this.#directory, folder.name))) {
        const path = join(this.#directory, folder.name, name);
        const match = FILE_NAME.exec(name);
        const [, hash = '', size, tag] = match ?? [];
        const key = digestRecordKey(hash, Number(size), Number(tag), newRecordKey());
        // What is evicted meanwhile was no stranger.
        const found = await stat(path).catch(notThere);
        if (found === undefined) continue;
        if (match !== null && found.size === this.bytesOf(key)) {
          yield { key, lastUseSeconds: Math.floor(found.mtimeMs / 1000) };
        } else {
          await onStranger?.(path);
        }
      }
    }
  }

  /** From `start` to the end of the blocks that make up one chunk, every block checked. */
  async #readChunk(key: RecordKey, start: number, end: number): Promise<Uint8Array> {
    const path = this.#pathOf(key);
    const size = keySizeBytes(key);
    const firstBlock = Math.floor(start / BLOCK_BYTES);
    const from = firstBlock * BLOCK_BYTES;
    const to = Math.min(size, Math.ceil(Math.min(end, from + CHUNK_BYTES) / BLOCK_BYTES) * BLOCK_BYTES);
    const pool = this.#pool();
    const opened = pool.acquire(path);
    const file = opened instanceof Promise ? await opened : opened;
    try {
      const trailer = await this.#trailerOf(file, size);
      const bytes = Buffer.allocUnsafeSlow(to - from);
      const read = await readAt(file.fd, bytes, from);
      if (read < bytes.byteLength || !areBlocksIntact(trailer, firstBlock, bytes)) throw new DamagedFileError(path);
      return bytes.subarray(start - from, Math.min(end, to) - from);
    } catch (cause) {
      throw errorCode(cause) === 'EIO' ? new DamagedFileError(path) : cause;
    } finally {
      pool.release(file);
    }
  }

  async #trailerOf(file: PooledFile, size: number): Promise<Buffer> {
    if (file.note instanceof Buffer) return file.note;
    const trailer = Buffer.alloc(trailerBytes(size));
    const read = await readAt(file.fd, trailer, size);
    if (read < trailer.byteLength || !isTrailer(trailer)) throw new DamagedFileError(file.path);
    file.note = trailer;
    return trailer;
  }

  #pathOf(key: RecordKey): string {
    const hash = keyHash(key, HASH_CHARACTERS);
    return join(this.#directory, hash.slice(0, 2), `${hash}-${keySizeBytes(key)}-${keyTag(key)}`);
  }
}

function notThere(cause: unknown): undefined {
  if (!isNotFound(cause)) throw cause;
}
