import { type Digest, isEmptyDigest } from '../../domain/digest.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { findMissingByStore } from './find-missing-by-store.ts';

/** Small blobs in one store, large ones in another: such as Redis for what is small and S3 for what is not. */
export class SizeSplitBlobStore implements BlobBackend {
  readonly #small: BlobBackend;
  readonly #large: BlobBackend;
  readonly #thresholdBytes: number;

  /** @param thresholdBytes the size of the largest blob that counts as small. */
  constructor(small: BlobBackend, large: BlobBackend, thresholdBytes: number) {
    this.#small = small;
    this.#large = large;
    this.#thresholdBytes = thresholdBytes;
  }

  findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    return findMissingByStore(digests, (digest) => this.#storeOf(digest), signal);
  }

  read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#storeOf(digest).read(digest, range, signal);
  }

  readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    return this.#storeOf(digest).readWhole(digest, signal);
  }

  write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    return this.#storeOf(digest).write(digest, source, signal);
  }

  delete(digest: Digest, signal: AbortSignal): Promise<void> {
    return this.#storeOf(digest).delete(digest, signal);
  }

  openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    return this.#storeOf(digest).openWriter(digest, signal);
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    const all = [...digests];
    this.#small.pin(
      owner,
      all.filter((digest) => this.#storeOf(digest) === this.#small),
    );
    this.#large.pin(
      owner,
      all.filter((digest) => this.#storeOf(digest) === this.#large),
    );
  }

  unpin(owner: string): void {
    this.#small.unpin(owner);
    this.#large.unpin(owner);
  }

  #storeOf(digest: Digest): BlobBackend {
    return digest.sizeBytes <= this.#thresholdBytes || isEmptyDigest(digest) ? this.#small : this.#large;
  }
}
