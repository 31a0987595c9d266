import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { RemoteBlobStore } from '../adapters/blob/remote/remote-blob-store.ts';
import { type Digest, digestKey, isEmptyDigest } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';

/** A blob of this machine: bytes in memory, or a file. */
export type LocalBlob =
  | { readonly digest: Digest; readonly data: Uint8Array }
  | { readonly digest: Digest; readonly path: string };

/** How far a transfer is. */
export interface TransferProgress {
  blobs: number;
  bytes: number;
  totalBlobs: number;
  totalBytes: number;
}

export function newTransferProgress(): TransferProgress {
  return { blobs: 0, bytes: 0, totalBlobs: 0, totalBytes: 0 };
}

const CHUNK_BYTES = 1024 * 1024;
const SMALL_FILE_BYTES = 512 * 1024;
/** Enough small blobs at once to fill batches, few enough open files. */
const CONCURRENT_UPLOADS = 256;

/**
 * Uploads those that the server does not have.
 *
 * @param progress is kept up to date; its totals count only what is missing.
 * @throws CommandFailure when a file has changed since it was hashed.
 */
export async function uploadOutputs(
  store: RemoteBlobStore,
  blobs: ReadonlyMap<string, LocalBlob>,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<void> {
  const missing = await store.findMissing(
    [...blobs.values()].map(({ digest }) => digest),
    signal,
  );
  progress.totalBlobs += missing.length;
  for (const { sizeBytes } of missing) progress.totalBytes += sizeBytes;
  await mapConcurrently(missing, CONCURRENT_UPLOADS, signal, async (digest) => {
    const blob = blobs.get(digestKey(digest));
    if (blob !== undefined) await upload(store, blob, progress, signal);
    progress.blobs += 1;
  });
}

async function upload(
  store: RemoteBlobStore,
  blob: LocalBlob,
  progress: TransferProgress,
  signal: AbortSignal,
): Promise<void> {
  const { digest } = blob;
  if (isEmptyDigest(digest)) return;
  try {
    if ('data' in blob || digest.sizeBytes <= SMALL_FILE_BYTES) {
      await store.write(digest, 'data' in blob ? blob.data : await readFile(blob.path), signal);
      progress.bytes += digest.sizeBytes;
    } else {
      let reached = 0;
      await store.writeFrom(
        digest,
        async function* (offset) {
          progress.bytes += offset - reached;
          reached = offset;
          for await (const chunk of createReadStream(blob.path, { start: offset, highWaterMark: CHUNK_BYTES })) {
            const bytes = chunk as Buffer;
            yield bytes;
            reached += bytes.byteLength;
            progress.bytes += bytes.byteLength;
          }
        },
        signal,
      );
      progress.bytes += digest.sizeBytes - reached;
    }
  } catch (thrown) {
    if ('path' in blob && thrown instanceof StatusError && thrown.code === StatusCode.INVALID_ARGUMENT) {
      const message = `${blob.path} changed while it was uploaded (${thrown.message}); try again`;
      throw new CommandFailure(ExitCode.FAILURE, message, { cause: thrown });
    }
    throw thrown;
  }
}
