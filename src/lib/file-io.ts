import { fdatasync, fsync, read, readSync, write, writev } from 'node:fs';
import { open } from 'node:fs/promises';

/*
 * The calls of node:fs on plain descriptors, as promises. Those of node:fs/promises cost several times as much per call,
 * which is most of what reading a small record costs.
 */

/** Reads until `buffer` is full or the file ends. @returns the bytes read. */
export function readAt(fd: number, buffer: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const step = (done: number) => {
      read(fd, buffer, done, buffer.byteLength - done, position + done, (cause, bytes) => {
        if (cause !== null) reject(cause);
        else if (bytes === 0 || done + bytes === buffer.byteLength) resolve(done + bytes);
        else step(done + bytes);
      });
    };
    step(0);
  });
}

/**
 * As `readAt`, and at once. Only for few bytes that are in the page cache for sure: a thread's turn costs ten times what
 * such a read does, and a read that goes to the disk would hold everybody up.
 *
 * @throws the system's error.
 */
export function readAtOnce(fd: number, buffer: Uint8Array, position: number): number {
  let done = 0;
  while (done < buffer.byteLength) {
    const bytes = readSync(fd, buffer, done, buffer.byteLength - done, position + done);
    if (bytes === 0) break;
    done += bytes;
  }
  return done;
}

/** Writes all of `buffer`. */
export function writeAt(fd: number, buffer: Uint8Array, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const step = (done: number) => {
      write(fd, buffer, done, buffer.byteLength - done, position + done, (cause, bytes) => {
        if (cause !== null) reject(cause);
        else if (done + bytes === buffer.byteLength) resolve();
        else step(done + bytes);
      });
    };
    step(0);
  });
}

/** Writes all of `buffers`, one after the other. */
export function writeAllAt(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
  const [only] = buffers;
  if (only !== undefined && buffers.length === 1) return writeAt(fd, only, position);
  const total = buffers.reduce((sum, each) => sum + each.byteLength, 0);
  return new Promise((resolve, reject) => {
    writev(fd, buffers, position, (cause, bytes) => {
      if (cause !== null) reject(cause);
      else if (bytes === total) resolve();
      // A part was written, as happens on a disk that fills up; the rest goes on its own and gets the true error.
      else writeAt(fd, Buffer.concat(buffers).subarray(bytes), position + bytes).then(resolve, reject);
    });
  });
}

/** Waits until what was written is on the disk. */
export function syncData(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fdatasync(fd, (cause) => (cause === null ? resolve() : reject(cause)));
  });
}

/** Waits until the names in a folder are on the disk. */
export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await new Promise<void>((resolve, reject) => {
      fsync(handle.fd, (cause) => (cause === null ? resolve() : reject(cause)));
    });
  } finally {
    await handle.close();
  }
}
