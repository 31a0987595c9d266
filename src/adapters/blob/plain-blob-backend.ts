import type { Digest } from '../../domain/digest.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { BlobStore, ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { PipedBlobWriter } from './piped-blob-writer.ts';

/** A plain store as a backend: writers are streams into it, and pins, of which it knows nothing, are ignored. */
export class PlainBlobBackend implements BlobBackend {
  readonly #store: BlobStore;

  constructor(store: BlobStore) {
    this.#store = store;
  }

  findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    return this.#store.findMissing(digests, signal);
  }

  read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#store.read(digest, range, signal);
  }

  readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    return this.#store.readWhole(digest, signal);
  }

  write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    return this.#store.write(digest, source, signal);
  }

  delete(digest: Digest, signal: AbortSignal): Promise<void> {
    return this.#store.delete(digest, signal);
  }

  async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    signal.throwIfAborted();
    return new PipedBlobWriter(this.#store, digest);
  }

  pin(): void {}

  unpin(): void {}
}
