import { setMaxListeners } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { createDigest, type Digest, digestKey } from '../domain/digest.ts';
import { digestFunctionBySegment } from '../domain/digest-function.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { raceSignal } from '../lib/abort.ts';
import type { Logger } from '../lib/log.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { diskFailure, systemCode } from './disk-failure.ts';
import { fetchToFile } from './fetch-to-file.ts';
import { hashFile } from './hash-file.ts';

const CONCURRENT_FETCHES = 100;
const BLOCK_BYTES = 4_096;
/** What is freed beyond the need of the moment when the disk is full. */
const ROOM_BYTES = 64 * 1024 * 1024;

/** A file that actions need: content and whether it may be executed. */
export interface FileRequest {
  readonly digest: Digest;
  readonly executable: boolean;
}

/** A file in the cache. Its fields are the cache's own; others may read `damaged`. */
export interface CachedFile {
  readonly request: FileRequest;
  readonly path: string;
  /** Whether something has changed it in place; it is then out of the cache. */
  damaged: boolean;
  /** Whether it must be read again before it is believed: left by an earlier run, or touched by an action. */
  suspect: boolean;
  users: number;
  modified: number;
  changed: number;
}

/** Files held for one action. They stay in the cache until `release`. */
export interface HeldFiles {
  readonly files: ReadonlyMap<string, CachedFile>;
  /** Digests that the storage does not have. */
  readonly missing: readonly Digest[];
}

/** A file on its way into the cache. */
interface Arrival {
  readonly outcome: Promise<CachedFile>;
  /** Who waits for it. From the moment in which it arrives they hold it. */
  waiting: number;
  arrived: CachedFile | undefined;
}

/** Equal for equal files: what keys of `HeldFiles.files` are. */
export function fileKey({ digest, executable }: FileRequest): string {
  return executable ? `${digestKey(digest)}x` : digestKey(digest);
}

/**
 * Inputs and outputs of actions on the worker's disk, shared with actions by hard link.
 *
 * A hard link costs 10 microseconds where a copy costs 100, but an action that changes an input in place changes the
 * cache and what other actions see. Files are read-only, so that this takes intent (or root outside of a sandbox), and
 * it does not go unseen: with each file the inode's change time is kept, which no process can set back, and looked at
 * before each link and after each action. A file whose change time is not the one expected is read and hashed again;
 * if it is damaged, it leaves the cache, and every action that held it runs once more with copies of its own.
 *
 * What an earlier run left is used again, but hashed before its first use.
 */
export class FileCache {
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #blobs: BlobStore;
  readonly #logger: Logger;
  /** From the least to the most recently used. */
  readonly #files = new Map<string, CachedFile>();
  readonly #arriving = new Map<string, Arrival>();
  readonly #closed = new AbortController();
  #bytes = 0;

  /** @param maxBytes what is not in use is dropped beyond this, the least recently used first. */
  constructor(folder: string, maxBytes: number, blobs: BlobStore, logger: Logger) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
    this.#blobs = blobs;
    this.#logger = logger;
    setMaxListeners(0, this.#closed.signal);
  }

  /** Bytes on disk, in whole blocks. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Makes the folders and takes stock of what is there. */
  open(): void {
    for (let i = 0; i < 256; i++) {
      const folder = join(this.#folder, i.toString(16).padStart(2, '0'));
      mkdirSync(folder, { recursive: true, mode: 0o755 });
      for (const name of readdirSync(folder)) this.#takeStock(join(folder, name), name);
    }
    this.#evict();
  }

  /** Drops what is not in use, the least recently used first, until about so many bytes of disk are free again. */
  shed(bytes: number): void {
    const target = Math.max(this.#bytes - bytes, 0);
    this.#evictTo(target);
  }

  /** Stops what is being fetched. */
  close(): void {
    this.#closed.abort(new StatusError(StatusCode.CANCELLED, 'the worker stops'));
  }

  /**
   * Sees that files are in the cache and holds them there. What can't be found is listed, all of it; any other failure
   * is thrown, and nothing is held then.
   */
  async hold(requests: Iterable<FileRequest>, signal: AbortSignal): Promise<HeldFiles> {
    const files = new Map<string, CachedFile>();
    const missing: Digest[] = [];
    const absent = new Map<string, FileRequest>();
    for (const request of requests) {
      const key = fileKey(request);
      if (files.has(key) || absent.has(key)) continue;
      const file = this.#files.get(key);
      if (file === undefined || !this.#looksUntouched(file)) {
        absent.set(key, request);
      } else {
        this.#use(key, file);
        files.set(key, file);
      }
    }
    try {
      await mapConcurrently(absent, CONCURRENT_FETCHES, signal, async ([key, request]) => {
        try {
          files.set(key, await this.#arrive(key, request, signal));
        } catch (thrown) {
          if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.NOT_FOUND) throw thrown;
          missing.push(request.digest);
        }
      });
    } catch (thrown) {
      this.release(files.values());
      throw thrown;
    }
    return { files, missing };
  }

  /** Gives held files back. */
  release(files: Iterable<CachedFile>): void {
    for (const file of files) file.users -= 1;
    this.#evict();
  }

  /** Hard-links a held file. @throws what the file system throws, such as EXDEV and EMLINK: copy it then. */
  link(file: CachedFile, target: string): void {
    if (!this.#looksUntouched(file)) file.suspect = true;
    linkSync(file.path, target);
    file.changed = lstatSync(file.path).ctimeMs;
  }

  /** Removes a link that `link` made; one that the action has removed or moved is no matter. */
  unlink(file: CachedFile, target: string): void {
    if (!this.#looksUntouched(file)) file.suspect = true;
    try {
      unlinkSync(target);
    } catch {
      return;
    }
    const stats = lstatSync(file.path, { throwIfNoEntry: false });
    if (stats !== undefined) file.changed = stats.ctimeMs;
  }

  /** Whether all of these still have the content that they stand for; those that don't leave the cache. */
  async verify(files: Iterable<CachedFile>): Promise<boolean> {
    let sound = true;
    for (const file of files) {
      if (file.damaged) sound = false;
      else if (!this.#looksUntouched(file)) sound = (await this.#readAgain(file)) && sound;
    }
    return sound;
  }

  /**
   * Moves a file that an action has made into the cache, whose digest the caller has taken. For the actions that come
   * next it need not be fetched. Does nothing where it is not possible.
   *
   * @param seen the file's state when it was hashed: a file that has changed since then is left alone.
   */
  adopt(request: FileRequest, path: string, seen: Stats): void {
    const key = fileKey(request);
    if (this.#files.has(key) || this.#arriving.has(key) || request.digest.sizeBytes > this.#maxBytes / 4) return;
    try {
      const stats = lstatSync(path);
      if (!stats.isFile() || stats.nlink !== 1 || stats.ctimeMs !== seen.ctimeMs || stats.ino !== seen.ino) return;
      const target = this.#pathOf(request);
      renameSync(path, target);
      chmodSync(target, request.executable ? 0o555 : 0o444);
      this.#add(key, request, target);
      this.#evict();
    } catch (thrown) {
      this.#logger.debug({ err: thrown }, 'an output was not taken into the file cache');
    }
  }

  #use(key: string, file: CachedFile): void {
    file.users += 1;
    if (this.#files.delete(key)) this.#files.set(key, file);
  }

  #looksUntouched(file: CachedFile): boolean {
    if (file.suspect || file.damaged) return false;
    const stats = lstatSync(file.path, { throwIfNoEntry: false });
    return (
      stats !== undefined &&
      stats.ctimeMs === file.changed &&
      stats.mtimeMs === file.modified &&
      stats.size === file.request.digest.sizeBytes
    );
  }

  /** Believes a file again if its content is right. */
  async #readAgain(file: CachedFile): Promise<boolean> {
    const { digest, executable } = file.request;
    try {
      const before = lstatSync(file.path);
      if (before.isFile() && before.size === digest.sizeBytes) {
        const hash = await hashFile(file.path, digest.digestFunction);
        chmodSync(file.path, executable ? 0o555 : 0o444);
        const after = lstatSync(file.path);
        if (hash === digest.hash && after.mtimeMs === before.mtimeMs && after.size === before.size) {
          file.suspect = false;
          file.modified = after.mtimeMs;
          file.changed = after.ctimeMs;
          return true;
        }
      }
    } catch (thrown) {
      this.#logger.debug({ err: thrown }, 'a cached file cannot be read');
    }
    this.#logger.warn({ digest: digestKey(digest) }, 'a cached file was changed in place; it is dropped');
    file.damaged = true;
    this.#drop(file);
    return false;
  }

  #drop(file: CachedFile): void {
    const key = fileKey(file.request);
    if (this.#files.get(key) !== file) return;
    this.#files.delete(key);
    this.#bytes -= blocks(file.request.digest.sizeBytes);
    rmSync(file.path, { force: true });
  }

  /** Brings a file and holds it for the caller: at once when it arrives, before anything can drop it again. */
  async #arrive(key: string, request: FileRequest, signal: AbortSignal): Promise<CachedFile> {
    let arrival = this.#arriving.get(key);
    if (arrival === undefined) {
      arrival = { outcome: this.#bring(key, request), waiting: 0, arrived: undefined };
      this.#arriving.set(key, arrival);
    }
    arrival.waiting += 1;
    try {
      return await raceSignal(arrival.outcome, signal);
    } catch (thrown) {
      arrival.waiting -= 1;
      if (arrival.arrived !== undefined) arrival.arrived.users -= 1;
      throw thrown;
    }
  }

  async #bring(key: string, request: FileRequest): Promise<CachedFile> {
    // Whoever asks for it is entered as waiting by now.
    await Promise.resolve();
    const path = this.#pathOf(request);
    try {
      const known = this.#files.get(key);
      if (known !== undefined && (this.#looksUntouched(known) || (await this.#readAgain(known)))) {
        return this.#welcome(key, known);
      }
      if (!(await this.#copyOtherVariant(request, path))) await this.#fetchMakingRoom(request, path);
      return this.#welcome(key, this.#add(key, request, path));
    } catch (thrown) {
      this.#arriving.delete(key);
      rmSync(path, { force: true });
      throw diskFailure(thrown, 'Failed to store an input');
    }
  }

  /** A file is there: those who wait for it hold it from this moment on. */
  #welcome(key: string, file: CachedFile): CachedFile {
    const arrival = this.#arriving.get(key);
    if (arrival !== undefined) {
      this.#arriving.delete(key);
      arrival.arrived = file;
      file.users += arrival.waiting;
    }
    if (this.#files.delete(key)) this.#files.set(key, file);
    this.#evict();
    return file;
  }

  async #copyOtherVariant(request: FileRequest, path: string): Promise<boolean> {
    const other = this.#files.get(fileKey({ ...request, executable: !request.executable }));
    if (other === undefined) return false;
    if (!this.#looksUntouched(other) && !(await this.#readAgain(other))) return false;
    if (this.#files.get(fileKey(other.request)) !== other) return false;
    copyFileSync(other.path, path);
    chmodSync(path, modeOf(request));
    return true;
  }

  /** A full disk may be full of what the cache can do without. */
  async #fetchMakingRoom(request: FileRequest, path: string): Promise<void> {
    try {
      await fetchToFile(this.#blobs, request.digest, path, modeOf(request), this.#closed.signal);
    } catch (thrown) {
      if (systemCode(thrown) !== 'ENOSPC') throw thrown;
      rmSync(path, { force: true });
      this.shed(request.digest.sizeBytes + ROOM_BYTES);
      await fetchToFile(this.#blobs, request.digest, path, modeOf(request), this.#closed.signal);
    }
  }

  #add(key: string, request: FileRequest, path: string, suspect = false): CachedFile {
    const { mtimeMs, ctimeMs } = lstatSync(path);
    const file = { request, path, damaged: false, suspect, users: 0, modified: mtimeMs, changed: ctimeMs };
    this.#files.set(key, file);
    this.#bytes += blocks(request.digest.sizeBytes);
    return file;
  }

  #evict(): void {
    this.#evictTo(this.#maxBytes);
  }

  #evictTo(maxBytes: number): void {
    if (this.#bytes <= maxBytes) return;
    for (const file of this.#files.values()) {
      if (file.users > 0) continue;
      this.#drop(file);
      if (this.#bytes <= maxBytes) return;
    }
  }

  #pathOf({ digest, executable }: FileRequest): string {
    const name = `${digest.hash}-${digest.sizeBytes}-${digest.digestFunction.name.toLowerCase()}`;
    return join(this.#folder, digest.hash.slice(0, 2), executable ? `${name}-x` : name);
  }

  #takeStock(path: string, name: string): void {
    const [hash = '', size = '', segment = '', variant] = name.split('-');
    const digestFunction = digestFunctionBySegment(segment);
    try {
      if (digestFunction === undefined) throw new Error('not a name of the file cache');
      const request = { digest: createDigest(digestFunction, hash, Number(size)), executable: variant === 'x' };
      const stats = lstatSync(path);
      if (path !== this.#pathOf(request) || !stats.isFile() || stats.size !== request.digest.sizeBytes) {
        throw new Error('not a whole file');
      }
      this.#add(fileKey(request), request, path, true);
    } catch {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

function modeOf({ executable }: FileRequest): number {
  return executable ? 0o555 : 0o444;
}

function blocks(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}
