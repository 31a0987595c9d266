import type { Digest } from '../domain/digest.ts';

/** What is known of one upload (ByteStream.QueryWriteStatus). */
export interface UploadStatus {
  /** Bytes that need not be sent again. */
  readonly committedSize: number;
  /** Whether the blob is stored. */
  readonly complete: boolean;
}

/**
 * Uploads under way: what ByteStream.Write needs to go on where an earlier call broke off.
 *
 * An upload is named by instance, the client's UUID and the digest. What stays unfinished is dropped after a configured
 * time.
 */
export interface UploadStore {
  /** What has arrived. @throws NOT_FOUND where nothing is known of this upload and the blob is not stored. */
  status(uploadName: string, digest: Digest, signal: AbortSignal): Promise<UploadStatus>;

  /**
   * Takes bytes from `offset` until the source ends, and stores the blob once all are there.
   *
   * When the source fails or is aborted, what arrived is kept, so that a later call may resume at `committedSize`; unless
   * it fails with INVALID_ARGUMENT: it has found its bytes wrong, and the upload starts anew.
   *
   * @param finish tells, once the source has ended, whether the client sent finish_write. Without it the bytes are kept
   *   and the blob is not stored.
   * @returns the committed size afterwards.
   * @throws OUT_OF_RANGE when `offset` is beyond what has arrived; INVALID_ARGUMENT when more bytes come than the
   *   digest names, too few at the end, or the hash differs: the upload then starts anew.
   */
  receive(
    uploadName: string,
    digest: Digest,
    offset: number,
    source: AsyncIterable<Uint8Array>,
    finish: () => boolean,
    signal: AbortSignal,
  ): Promise<UploadStatus>;
}
