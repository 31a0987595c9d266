import type { Digest } from '../../../domain/digest.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { BlobWriter } from '../../../ports/blob-writers.ts';

/** What a writer does about its reservation in the index. */
export interface ReservationHolder {
  /** Milliseconds after which it must be renewed. */
  readonly renewEvery: number;
  renew(): Promise<void>;
  /** The blob is in the store. @throws what the caller of `commit` must hear. */
  committed(): Promise<void>;
  /** Never throws. */
  abandoned(): Promise<void>;
}

/** A writer of a store that keeps its blob reserved in the index as long as bytes come. */
export class IndexedBlobWriter implements BlobWriter {
  readonly #inner: BlobWriter;
  readonly #clock: Clock;
  readonly #holder: ReservationHolder;
  #renewedAt: number;
  #done = false;

  constructor(inner: BlobWriter, clock: Clock, holder: ReservationHolder) {
    this.#inner = inner;
    this.#clock = clock;
    this.#holder = holder;
    this.#renewedAt = clock.monotonic();
  }

  get digest(): Digest {
    return this.#inner.digest;
  }

  get receivedBytes(): number {
    return this.#inner.receivedBytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    await this.#renew();
    await this.#inner.append(chunk);
  }

  async commit(): Promise<void> {
    // After a pause the reservation may be lost, and somebody about to remove what is put there now.
    await this.#renew();
    await this.#inner.commit();
    await this.#holder.committed();
    this.#done = true;
  }

  async abandon(): Promise<void> {
    await this.#inner.abandon();
    if (this.#done) return;
    this.#done = true;
    await this.#holder.abandoned();
  }

  async #renew(): Promise<void> {
    const now = this.#clock.monotonic();
    if (now - this.#renewedAt < this.#holder.renewEvery) return;
    await this.#holder.renew();
    this.#renewedAt = now;
  }
}
