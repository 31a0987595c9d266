import { digestKey, isEmptyDigest } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { OutputBlob } from './output-collector.ts';

const CONCURRENT_UPLOADS = 64;

/**
 * Outputs of which all together are no larger, in bytes, are sent unasked: few actions make what is stored already, and
 * to ask takes about as long as to send so little. A storage that has them takes them and does nothing.
 */
const SENT_UNASKED_BYTES = 128 * 1024;

/**
 * Uploads the blobs, or of many bytes those that the storage does not have.
 *
 * @throws UNAVAILABLE and the like as the storage says it. INVALID_ARGUMENT of the storage is ours to answer for and
 *   not the client's, so that it becomes INTERNAL.
 */
export async function uploadOutputs(
  store: BlobStore,
  blobs: ReadonlyMap<string, OutputBlob>,
  signal: AbortSignal,
): Promise<void> {
  const digests = [...blobs.values()].map(({ digest }) => digest).filter((digest) => !isEmptyDigest(digest));
  if (digests.length === 0) return;
  try {
    const total = digests.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const wanted = total <= SENT_UNASKED_BYTES ? digests : await store.findMissing(digests, signal);
    await mapConcurrently(wanted, CONCURRENT_UPLOADS, signal, async (digest) => {
      const blob = blobs.get(digestKey(digest));
      if (blob !== undefined) await store.write(digest, blob.source(), signal);
    });
  } catch (thrown) {
    if (!(thrown instanceof StatusError)) throw thrown;
    const wrapped = thrown.wrap('Failed to upload the outputs');
    if (thrown.code !== StatusCode.INVALID_ARGUMENT) throw wrapped;
    throw new StatusError(StatusCode.INTERNAL, wrapped.message, { cause: thrown });
  }
}
