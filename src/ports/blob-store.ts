import type { Digest } from '../domain/digest.ts';

/** A part of a blob. */
export interface ByteRange {
  /** First byte; 0 to the blob's size inclusive. */
  readonly offset: number;
  /** Greatest number of bytes; undefined for all that follow. */
  readonly length?: number | undefined;
}

/**
 * A source that can be read again, from any byte on, such as a file: a store on another machine goes on after a broken
 * connection where it was. Other stores take it as any source.
 */
export interface RereadableSource extends AsyncIterable<Uint8Array> {
  /** What comes from this byte on. */
  from(offset: number): AsyncIterable<Uint8Array>;
}

/**
 * Where blobs are kept. The one port of all storage: content addressable storage of disk, memory, S3, Redis or another
 * server, and every composition and decorator of them.
 *
 * Rules that every implementation keeps, and that its conformance suite checks:
 * - Nothing is visible before it is whole, verified against its digest and as durable as configured.
 * - A failed or aborted write leaves nothing behind.
 * - The empty blob is always there, is never written, and reads as nothing.
 * - `findMissing`, `read` and `readWhole` extend the life of what they touch.
 * - Blobs pass through as streams; memory does not grow with the size of a blob, except in `readWhole`.
 */
export interface BlobStore {
  /** Those of the digests whose blobs are not stored, each once, in the order given. */
  findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]>;

  /**
   * The bytes of a blob from `range.offset`, in chunks of at most 1 MiB. The chunks belong to the caller.
   *
   * @throws NOT_FOUND, at the first pull at the latest; OUT_OF_RANGE when the offset lies behind the end; DATA_LOSS
   *   when the stored bytes turn out damaged, after which the blob counts as missing.
   */
  read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array>;

  /**
   * The whole of a small blob: for batches, Actions, Commands and Directories. The caller checks `digest.sizeBytes`
   * against its own limit first.
   *
   * @throws NOT_FOUND and DATA_LOSS as `read` does.
   */
  readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array>;

  /**
   * Stores a blob. Bytes that are stored already are taken and checked, or left unread, as the implementation likes.
   *
   * @throws INVALID_ARGUMENT when length or hash do not fit the digest; RESOURCE_EXHAUSTED when there is no room;
   *   what the source throws, unchanged.
   */
  write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;

  /** Removes a blob. One that is not stored is ignored. */
  delete(digest: Digest, signal: AbortSignal): Promise<void>;
}
