import { type Digest, digestKey, isEmptyDigest } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import { raceSignal } from '../../lib/abort.ts';
import type { BlobStore } from '../../ports/blob-store.ts';

/** A text that is equal for equal uploads. */
export function uploadKey(uploadName: string, digest: Digest): string {
  return `${digestKey(digest)} ${uploadName}`;
}

/** Whether there is nothing left to upload. */
export async function isStored(blobs: BlobStore, digest: Digest, signal: AbortSignal): Promise<boolean> {
  return isEmptyDigest(digest) || (await blobs.findMissing([digest], signal)).length === 0;
}

/** OUT_OF_RANGE for bytes that would leave a gap. */
export function gap(offset: number, received: number): StatusError {
  return new StatusError(
    StatusCode.OUT_OF_RANGE,
    `write_offset: ${offset} lies behind the ${received} bytes that have arrived`,
  );
}

/** Whether bytes turned out wrong: then those before them may be wrong as well, and nothing of the upload is kept. */
export function isOfWrongBytes(cause: unknown): boolean {
  return cause instanceof StatusError && cause.code === StatusCode.INVALID_ARGUMENT;
}

/** ABORTED for a call whose upload another call has taken over. */
export function takenOver(uploadName: string): StatusError {
  return new StatusError(StatusCode.ABORTED, `another call goes on with upload ${uploadName}`);
}

/**
 * Hands every chunk on until the source ends, or the signal tells that nobody wants it any more.
 *
 * @param skip how many bytes at the beginning are known already.
 */
export async function feed(
  source: AsyncIterable<Uint8Array>,
  skip: number,
  signal: AbortSignal,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  const iterator = source[Symbol.asyncIterator]();
  let known = skip;
  try {
    for (;;) {
      const next = await raceSignal(iterator.next(), signal);
      if (next.done) return;
      const fresh = known === 0 ? next.value : next.value.subarray(Math.min(known, next.value.byteLength));
      known -= next.value.byteLength - fresh.byteLength;
      if (fresh.byteLength > 0) await take(fresh);
    }
  } catch (cause) {
    // Not awaited: a source that waits for its own next chunk would not return before that comes.
    void Promise.resolve(iterator.return?.()).catch(() => {});
    throw cause;
  }
}
