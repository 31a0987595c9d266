import type { Digest } from '../../domain/digest.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';

/** Passes every call on. Decorators override what they change. */
export abstract class ForwardingBlobBackend implements BlobBackend {
  readonly inner: BlobBackend;

  constructor(inner: BlobBackend) {
    this.inner = inner;
  }

  findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    return this.inner.findMissing(digests, signal);
  }

  read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.inner.read(digest, range, signal);
  }

  readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    return this.inner.readWhole(digest, signal);
  }

  write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    return this.inner.write(digest, source, signal);
  }

  delete(digest: Digest, signal: AbortSignal): Promise<void> {
    return this.inner.delete(digest, signal);
  }

  openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    return this.inner.openWriter(digest, signal);
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    this.inner.pin(owner, digests);
  }

  unpin(owner: string): void {
    this.inner.unpin(owner);
  }
}
