import type { Digest } from '../../domain/digest.ts';
import { StatusCode as Codes, type StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { Clock } from '../../lib/clock.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { ForwardingBlobBackend } from './forwarding-blob-backend.ts';

/** One finished call of a store. */
export interface BlobStoreCall {
  readonly operation: 'find-missing' | 'read' | 'read-whole' | 'write' | 'delete';
  readonly code: StatusCode;
  readonly milliseconds: number;
  /** How many blobs were asked for. */
  readonly blobs: number;
  /** Bytes of blobs that went in or out. */
  readonly bytes: number;
}

/** Tells of every call of a store when it has ended: for metrics. What is told must not throw. */
export class ObservedBlobStore extends ForwardingBlobBackend {
  readonly #clock: Clock;
  readonly #observe: (call: BlobStoreCall) => void;

  constructor(inner: BlobBackend, clock: Clock, observe: (call: BlobStoreCall) => void) {
    super(inner);
    this.#clock = clock;
    this.#observe = observe;
  }

  override findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    return this.#watch('find-missing', digests.length, 0, () => this.inner.findMissing(digests, signal));
  }

  override async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const begun = this.#clock.monotonic();
    let bytes = 0;
    // A reader that stops early has cancelled.
    let code: StatusCode = Codes.CANCELLED;
    try {
      for await (const chunk of this.inner.read(digest, range, signal)) {
        bytes += chunk.byteLength;
        yield chunk;
      }
      code = Codes.OK;
    } catch (cause) {
      code = StatusError.from(cause).code;
      throw cause;
    } finally {
      this.#observe({ operation: 'read', code, milliseconds: this.#clock.monotonic() - begun, blobs: 1, bytes });
    }
  }

  override readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    return this.#watch('read-whole', 1, digest.sizeBytes, () => this.inner.readWhole(digest, signal));
  }

  override write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    return this.#watch('write', 1, digest.sizeBytes, () => this.inner.write(digest, source, signal));
  }

  override delete(digest: Digest, signal: AbortSignal): Promise<void> {
    return this.#watch('delete', 1, 0, () => this.inner.delete(digest, signal));
  }

  /** Tells of the write when it is committed, or abandoned; what the client's pauses took is in its time. */
  override async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    const begun = this.#clock.monotonic();
    const writer = await this.inner.openWriter(digest, signal);
    let told = false;
    let code: StatusCode = Codes.CANCELLED;
    const tell = (bytes: number) => {
      if (told) return;
      told = true;
      this.#observe({ operation: 'write', code, milliseconds: this.#clock.monotonic() - begun, blobs: 1, bytes });
    };
    const noting = async (call: Promise<void>) => {
      try {
        await call;
      } catch (cause) {
        code = StatusError.from(cause).code;
        throw cause;
      }
    };
    return {
      digest,
      get receivedBytes() {
        return writer.receivedBytes;
      },
      append: (chunk) => noting(writer.append(chunk)),
      commit: async () => {
        await noting(writer.commit());
        code = Codes.OK;
        tell(digest.sizeBytes);
      },
      abandon: async () => {
        tell(0);
        await writer.abandon();
      },
    };
  }

  async #watch<Result>(
    operation: BlobStoreCall['operation'],
    blobs: number,
    bytesIfDone: number,
    call: () => Promise<Result>,
  ): Promise<Result> {
    const begun = this.#clock.monotonic();
    const ended = (code: StatusCode, bytes: number) =>
      this.#observe({ operation, code, milliseconds: this.#clock.monotonic() - begun, blobs, bytes });
    try {
      const result = await call();
      ended(Codes.OK, bytesIfDone);
      return result;
    } catch (cause) {
      ended(StatusError.from(cause).code, 0);
      throw cause;
    }
  }
}
