import { type Digest, digestKey } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { isInfrastructureCode, notFound, StatusError } from '../../domain/status-error.ts';
import type { BlobStore, ByteRange } from '../../ports/blob-store.ts';

/** Whether a store does not have the blob, or has it damaged. */
export function isMissing(cause: unknown): boolean {
  return cause instanceof StatusError && (cause.code === StatusCode.NOT_FOUND || cause.code === StatusCode.DATA_LOSS);
}

/** Whether another store may do better. */
export function isWorthAnotherStore(cause: unknown): boolean {
  return isMissing(cause) || (cause instanceof StatusError && isInfrastructureCode(cause.code));
}

/**
 * Reads from the first of several stores that has the blob, and goes on with the next where one breaks off in the middle.
 *
 * @param onFailure is told which store failed and how.
 * @throws what the reader must know: a store that could not be asked comes before one that has not got the blob.
 */
export async function* readFromAny<Store extends BlobStore>(
  stores: readonly Store[],
  digest: Digest,
  range: ByteRange,
  signal: AbortSignal,
  onFailure: (store: Store, cause: unknown) => void,
): AsyncGenerator<Uint8Array> {
  let served = 0;
  let failure: unknown;
  for (const store of stores) {
    const length = range.length === undefined ? undefined : range.length - served;
    try {
      for await (const chunk of store.read(digest, { offset: range.offset + served, length }, signal)) {
        served += chunk.byteLength;
        yield chunk;
      }
      return;
    } catch (cause) {
      if (!isWorthAnotherStore(cause)) throw cause;
      onFailure(store, cause);
      failure = worse(failure, cause);
    }
  }
  throw failure ?? notFound(`blob ${digestKey(digest)} is not stored`);
}

/** Of two failures the one that the caller must know: that a blob is missing is known only if all could be asked. */
export function worse(one: unknown, other: unknown): unknown {
  return one === undefined || (isMissing(one) && !isMissing(other)) ? other : one;
}
