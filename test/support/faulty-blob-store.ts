import { ForwardingBlobBackend } from '../../src/adapters/blob/forwarding-blob-backend.ts';
import type { Digest } from '../../src/domain/digest.ts';
import { unavailable } from '../../src/domain/status-error.ts';
import type { ByteRange } from '../../src/ports/blob-store.ts';
import type { BlobWriter } from '../../src/ports/blob-writers.ts';

/** A store for tests that can be down, break off in mid-read, give wrong bytes, and that counts what it is asked. */
export class FaultyBlobStore extends ForwardingBlobBackend {
  /** Every call fails with UNAVAILABLE. */
  down = false;
  /** Reads fail with UNAVAILABLE after so many bytes. */
  readBreaksAfter = Number.POSITIVE_INFINITY;
  /** Every byte that is read is wrong. */
  lies = false;
  findMissingCalls = 0;
  reads = 0;

  override async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    this.findMissingCalls += 1;
    this.#check();
    return this.inner.findMissing(digests, signal);
  }

  override async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    this.reads += 1;
    this.#check();
    let rest = this.readBreaksAfter;
    for await (const chunk of this.inner.read(digest, range, signal)) {
      const part = chunk.subarray(0, rest);
      rest -= part.byteLength;
      if (part.byteLength > 0) yield this.lies ? part.map((byte) => byte ^ 1) : part;
      if (part.byteLength < chunk.byteLength) throw unavailable('the line broke', 1);
    }
  }

  override async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    this.reads += 1;
    this.#check();
    const data = await this.inner.readWhole(digest, signal);
    return this.lies ? data.map((byte) => byte ^ 1) : data;
  }

  override async write(
    digest: Digest,
    source: Uint8Array | AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    this.#check();
    await this.inner.write(digest, source, signal);
  }

  override async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    this.#check();
    const writer = await this.inner.openWriter(digest, signal);
    return {
      digest,
      get receivedBytes() {
        return writer.receivedBytes;
      },
      append: async (chunk) => {
        this.#check();
        await writer.append(chunk);
      },
      commit: async () => {
        this.#check();
        await writer.commit();
      },
      abandon: () => writer.abandon(),
    };
  }

  #check(): void {
    if (this.down) throw unavailable('the store is down', 1);
  }
}
