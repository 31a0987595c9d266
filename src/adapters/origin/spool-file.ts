import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { resourceExhausted } from '../../domain/status-error.ts';
import { readAt, writeAt } from '../../lib/file-io.ts';
import { errorCode, isDiskFull } from '../../lib/file-system-error.ts';

const READ_BYTES = 1024 * 1024;
/** Enough to tell a format by. */
const START_BYTES = 512;
const RETRY_DELAY_MS = 10_000;
/** Linux's, which node has no name for; it includes O_DIRECTORY, whose bit differs between processors. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;
/** How file systems without nameless files, and kernels that take the flag for O_DIRECTORY, refuse it. */
const UNSUPPORTED = ['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL'];

/**
 * A file without a name: what comes in before anyone knows whether it is what it should be. Nothing is left of it when
 * the process ends, however that happens.
 */
export class SpoolFile implements AsyncDisposable {
  readonly #handle: FileHandle;
  #size = 0;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** @param name one that no other file has. @throws the system's error. */
  static async create(directory: string, name: string): Promise<SpoolFile> {
    await mkdir(directory, { recursive: true });
    return new SpoolFile((await openNameless(directory)) ?? (await openAndRemove(directory, name)));
  }

  get sizeBytes(): number {
    return this.#size;
  }

  /** @throws RESOURCE_EXHAUSTED when the disk is full. */
  async append(chunk: Uint8Array): Promise<void> {
    try {
      await writeAt(this.#handle.fd, chunk, this.#size);
    } catch (cause) {
      throw isDiskFull(cause) ? resourceExhausted('the disk for downloads is full', RETRY_DELAY_MS) : cause;
    }
    this.#size += chunk.byteLength;
  }

  /** Its first bytes, of which it may have fewer. */
  async start(): Promise<Uint8Array> {
    const chunk = Buffer.alloc(Math.min(START_BYTES, this.#size));
    await readAt(this.#handle.fd, chunk, 0);
    return chunk;
  }

  /** All of it, in chunks of at most 1 MiB that belong to the caller. */
  async *read(): AsyncIterable<Uint8Array> {
    for (let position = 0; position < this.#size; ) {
      const chunk = Buffer.allocUnsafe(Math.min(READ_BYTES, this.#size - position));
      const bytes = await readAt(this.#handle.fd, chunk, position);
      if (bytes === 0) return;
      position += bytes;
      yield chunk.subarray(0, bytes);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#handle.close();
  }
}

/**
 * Opens a file that never has a name, so that no moment of a kill leaves one.
 *
 * @returns undefined on a file system that has none such, which NFS and old overlays have not.
 */
async function openNameless(directory: string): Promise<FileHandle | undefined> {
  try {
    return await open(directory, O_TMPFILE | constants.O_RDWR | constants.O_EXCL, 0o600);
  } catch (cause) {
    if (UNSUPPORTED.includes(errorCode(cause) ?? '')) return undefined;
    throw cause;
  }
}

async function openAndRemove(directory: string, name: string): Promise<FileHandle> {
  const path = join(directory, `warren-download-${name}`);
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await rm(path);
    return handle;
  } catch (cause) {
    await handle.close();
    throw cause;
  }
}
