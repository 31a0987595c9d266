import { type Digest, digestKey } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { ByteRange } from '../../ports/blob-store.ts';

/** Where a range ends in a blob. @throws OUT_OF_RANGE when it begins behind the end of the blob. */
export function endOfRange(digest: Digest, range: ByteRange): number {
  if (range.offset > digest.sizeBytes) {
    throw new StatusError(
      StatusCode.OUT_OF_RANGE,
      `read_offset: ${range.offset} lies behind the end of blob ${digestKey(digest)}`,
    );
  }
  return Math.min(digest.sizeBytes, range.offset + (range.length ?? digest.sizeBytes));
}

/** Bytes in memory in the chunks that stores give out, from `begin` up to `end`. */
export function* inReadChunks(data: Uint8Array, begin = 0, end = data.byteLength): Generator<Uint8Array> {
  for (let offset = begin; offset < end; offset += READ_CHUNK_BYTES) {
    yield data.subarray(offset, Math.min(offset + READ_CHUNK_BYTES, end));
  }
}

/** The most that a chunk of `BlobStore.read` may have. */
const READ_CHUNK_BYTES = 1024 * 1024;
