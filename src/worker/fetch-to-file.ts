import { closeSync, fchmodSync, openSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type Digest, digestKey } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { BlobStore } from '../ports/blob-store.ts';

/** Blobs up to this size are fetched whole, so that the storage's client can put many into one call. */
const SMALL_BLOB_BYTES = 256 * 1024;

/**
 * Brings a blob into a new file, and checks it against its digest on the way. What is there of the file after a failure is
 * the caller's to remove.
 *
 * @param mode the permissions of the file once it is whole.
 * @throws UNAVAILABLE when the storage sends other bytes; what the storage throws, such as NOT_FOUND; errors of the file
 *   system, such as ENOSPC.
 */
export async function fetchToFile(
  blobs: BlobStore,
  digest: Digest,
  path: string,
  mode: number,
  signal: AbortSignal,
): Promise<void> {
  if (digest.sizeBytes <= SMALL_BLOB_BYTES) {
    const whole = digest.sizeBytes === 0 ? new Uint8Array(0) : await blobs.readWhole(digest, signal);
    if (whole.byteLength !== digest.sizeBytes || digest.digestFunction.hash(whole) !== digest.hash) {
      throw damagedBlob(digest);
    }
    writeWhole(path, whole, mode);
    return;
  }
  const file = await open(path, 'wx', 0o600);
  try {
    await stream(blobs, digest, file, signal);
    await file.chmod(mode);
  } finally {
    await file.close();
  }
}

async function stream(blobs: BlobStore, digest: Digest, file: FileHandle, signal: AbortSignal): Promise<void> {
  const hasher = digest.digestFunction.createHasher();
  let size = 0;
  for await (const chunk of blobs.read(digest, { offset: 0 }, signal)) {
    hasher.update(chunk);
    size += chunk.byteLength;
    if (size > digest.sizeBytes) break;
    for (let at = 0; at < chunk.byteLength; ) at += (await file.write(chunk, at)).bytesWritten;
  }
  if (size !== digest.sizeBytes || hasher.digest() !== digest.hash) throw damagedBlob(digest);
}

function writeWhole(path: string, bytes: Uint8Array, mode: number): void {
  const descriptor = openSync(path, 'wx', 0o600);
  try {
    for (let at = 0; at < bytes.byteLength; ) at += writeSync(descriptor, bytes, at);
    fchmodSync(descriptor, mode);
  } finally {
    closeSync(descriptor);
  }
}

function damagedBlob(digest: Digest): StatusError {
  return new StatusError(StatusCode.UNAVAILABLE, `the storage sent other bytes than those of ${digestKey(digest)}`);
}
