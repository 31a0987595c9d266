import type { Digest } from '../domain/digest.ts';

/**
 * One blob on its way into a store. Its bytes are hashed and put down as they come, so that committing costs no second
 * pass, and nothing of it is visible before `commit`.
 *
 * Calls must not overlap. After `commit` or `abandon`, and after any of them has thrown, only `abandon` may be called.
 */
export interface BlobWriter {
  readonly digest: Digest;
  /** How many bytes have been taken. */
  readonly receivedBytes: number;

  /**
   * Takes the next bytes; waits while too much is on its way to the disk. The chunk must not be changed afterwards.
   *
   * @throws INVALID_ARGUMENT when more bytes come than the digest names; RESOURCE_EXHAUSTED when the disk is full.
   */
  append(chunk: Uint8Array): Promise<void>;

  /**
   * Makes the blob visible, as durable as configured.
   *
   * @throws INVALID_ARGUMENT when bytes are wanting or the hash is another one; RESOURCE_EXHAUSTED.
   */
  commit(): Promise<void>;

  /** Leaves nothing behind. Does nothing after `commit`. Never throws. */
  abandon(): Promise<void>;
}

/**
 * A store that takes a blob piece by piece, with pauses of any length between the pieces: what resumable uploads
 * (ByteStream.Write) stand on.
 */
export interface BlobWriters {
  /** @throws RESOURCE_EXHAUSTED when there is no room for a blob of this size. */
  openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter>;
}
