import { type Digest, digestKey, isEmptyDigest } from '../../../domain/digest.ts';
import { verifyBlob } from '../../../domain/digest-verifier.ts';
import { resourceExhausted, unavailable } from '../../../domain/status-error.ts';
import type { Clock } from '../../../lib/clock.ts';
import { sleep } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { mapConcurrently } from '../../../lib/semaphore.ts';
import type { BlobBackend } from '../../../ports/blob-backend.ts';
import type { BlobIndex, Reservation } from '../../../ports/blob-index.ts';
import type { ByteRange } from '../../../ports/blob-store.ts';
import type { BlobWriter } from '../../../ports/blob-writers.ts';
import { ForwardingBlobBackend } from '../forwarding-blob-backend.ts';
import { pour } from '../pour.ts';
import { isMissing } from '../reading-on.ts';
import { IndexCleaner, type IndexCleanerOptions, type StoreLevel } from './index-cleaner.ts';
import { IndexedBlobWriter } from './indexed-blob-writer.ts';
import { SharedPins } from './shared-pins.ts';
import { UseNotes } from './use-notes.ts';

export interface IndexedBlobStoreDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often a writer asks whether a blob that is being evicted is gone. */
const EVICTION_POLL_MILLISECONDS = 50;
const RETRY_MILLISECONDS = 1_000;
const FULL_RETRY_MILLISECONDS = 5_000;
const CONCURRENT_ADOPTIONS = 32;

/**
 * Any store with an index beside it: the index answers FindMissingBlobs and says what to evict, the store is asked for
 * bytes alone. Replicas that share both are one store.
 *
 * Reads do not wait for the index, and go on while it is away. Where the two disagree they come together again by use: a
 * read that finds nothing takes the blob out of the index, one that finds what the index does not know puts it in.
 */
export class IndexedBlobStore extends ForwardingBlobBackend {
  readonly cleaner: IndexCleaner;
  readonly #index: BlobIndex;
  readonly #options: IndexCleanerOptions;
  readonly #dependencies: IndexedBlobStoreDependencies;
  readonly #pins: SharedPins;
  readonly #uses: UseNotes;
  readonly #reading = new Map<string, number>();
  readonly #background = new AbortController();

  constructor(
    inner: BlobBackend,
    index: BlobIndex,
    options: IndexCleanerOptions,
    dependencies: IndexedBlobStoreDependencies,
  ) {
    super(inner);
    const { clock, logger } = dependencies;
    this.#index = index;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#pins = new SharedPins(index, clock, logger);
    this.#uses = new UseNotes(index, clock, logger, (digests) => this.#adoptRead(digests));
    this.cleaner = new IndexCleaner(index, inner, options, {
      clock,
      logger,
      isNeeded: (digest) =>
        this.#pins.isPinned(digest) || (this.#reading.size > 0 && this.#reading.has(digestKey(digest))),
    });
  }

  /** How much there may be. */
  get maximum(): StoreLevel {
    return this.#options.maximum;
  }

  /** Bytes of what is stored, on its way in or on its way out, as far as this process has heard. */
  get storedBytes(): number {
    return this.#index.knownTotals.bytes;
  }

  /** Tells the index what it has not heard of yet, and ends cleaning. No other call may follow. */
  async close(): Promise<void> {
    await this.cleaner.close();
    await this.#pins.close();
    await this.#uses.close();
    this.#background.abort();
  }

  override async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const asked = digests.some(isEmptyDigest) ? digests.filter((each) => !isEmptyDigest(each)) : digests;
    return asked.length === 0 ? [] : this.#index.touch(asked, signal);
  }

  override async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    if (isEmptyDigest(digest)) {
      yield* this.inner.read(digest, range, signal);
      return;
    }
    const key = digestKey(digest);
    this.#reading.set(key, (this.#reading.get(key) ?? 0) + 1);
    try {
      for await (const chunk of this.inner.read(digest, range, signal)) {
        // Again and again while a slow reader takes it: its eviction would break it off.
        this.#uses.note(digest);
        yield chunk;
      }
    } catch (cause) {
      await this.#failedRead(digest, cause);
      throw cause;
    } finally {
      const count = (this.#reading.get(key) ?? 0) - 1;
      if (count > 0) this.#reading.set(key, count);
      else this.#reading.delete(key);
    }
  }

  override async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    try {
      const data = await this.inner.readWhole(digest, signal);
      if (!isEmptyDigest(digest)) this.#uses.note(digest);
      return data;
    } catch (cause) {
      await this.#failedRead(digest, cause);
      throw cause;
    }
  }

  override async write(
    digest: Digest,
    source: Uint8Array | AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    if (isEmptyDigest(digest)) return this.inner.write(digest, source, signal);
    if (source instanceof Uint8Array) {
      verifyBlob(digest, source);
      if ((await this.#admit(digest, signal)) === 'stored') return undefined;
      try {
        await this.inner.write(digest, source, signal);
      } catch (cause) {
        await this.#release(digest);
        throw cause;
      }
      return this.#commit(digest);
    }
    if ((await this.#admit(digest, signal)) === 'stored') return undefined;
    await pour(await this.#openReserved(digest, signal), source, signal);
  }

  override async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    if (isEmptyDigest(digest)) return this.inner.openWriter(digest, signal);
    // What is stored already is taken all the same: the writer's caller has not asked, or lost it in between.
    await this.#admit(digest, signal);
    return this.#openReserved(digest, signal);
  }

  override async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    if (isEmptyDigest(digest)) return;
    const claimed = await this.#index.claim([digest], undefined, signal);
    if (claimed.length === 0) await this.inner.delete(digest, signal);
    else await this.cleaner.removeClaimed([{ digest, lastUsedAt: 0 }]);
  }

  override pin(owner: string, digests: Iterable<Digest>): void {
    const all = [...digests];
    this.#pins.pin(owner, all);
    this.inner.pin(owner, all);
  }

  override unpin(owner: string): void {
    this.#pins.unpin(owner);
    this.inner.unpin(owner);
  }

  /**
   * Puts a blob into the index that is in the store, and does nothing where it is not.
   *
   * @param unusedFor milliseconds since its last use. @returns whether the index knows it now.
   */
  async adopt(digest: Digest, unusedFor: number, signal: AbortSignal): Promise<boolean> {
    const reservation = await this.#index.reserve(digest, signal);
    if (reservation !== 'reserved') return reservation === 'stored';
    try {
      // Asked only now: what is reserved nobody removes.
      const missing = await this.inner.findMissing([digest], signal);
      if (missing.length === 0) return await this.#index.commit(digest, unusedFor, signal);
    } catch (cause) {
      await this.#release(digest);
      throw cause;
    }
    await this.#release(digest);
    return false;
  }

  /** Takes room for a blob. @throws RESOURCE_EXHAUSTED when there is none to be had. */
  async #admit(digest: Digest, signal: AbortSignal): Promise<'stored' | 'reserved'> {
    const { maximum } = this.#options;
    if (digest.sizeBytes > maximum.bytes) {
      throw resourceExhausted(
        `blob ${digestKey(digest)} is larger than the whole store may be (maximumSizeBytes: ${maximum.bytes})`,
        60_000,
      );
    }
    if ((await this.#reserve(digest, signal)) === 'stored') return 'stored';
    const hasRoom = await this.cleaner.waitForRoom(signal).catch(async (cause: unknown) => {
      await this.#release(digest);
      throw cause;
    });
    if (!hasRoom) {
      await this.#release(digest);
      throw resourceExhausted(
        `no room for ${digest.sizeBytes} bytes: the store may hold ${maximum.bytes} bytes (maximumSizeBytes)` +
          `${Number.isFinite(maximum.blobs) ? ` and ${maximum.blobs} blobs (maximumCount)` : ''}, and nothing more ` +
          'can be evicted now',
        FULL_RETRY_MILLISECONDS,
      );
    }
    return 'reserved';
  }

  /** Reserves a blob, once nobody evicts it any more. */
  async #reserve(digest: Digest, signal: AbortSignal): Promise<Exclude<Reservation, 'evicting'>> {
    const { clock } = this.#dependencies;
    for (const began = clock.monotonic(); ; ) {
      const reservation = await this.#index.reserve(digest, signal);
      if (reservation !== 'evicting') return reservation;
      if (clock.monotonic() - began > this.#index.lease) {
        throw unavailable(`blob ${digestKey(digest)} is being evicted`, RETRY_MILLISECONDS);
      }
      await sleep(clock, EVICTION_POLL_MILLISECONDS, signal);
    }
  }

  async #openReserved(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    try {
      const writer = await this.inner.openWriter(digest, signal);
      return new IndexedBlobWriter(writer, this.#dependencies.clock, {
        // Half of the lease is for what is on its way.
        renewEvery: this.#index.lease / 2,
        renew: async () => void (await this.#reserve(digest, this.#background.signal)),
        committed: () => this.#commit(digest),
        abandoned: () => this.#release(digest),
      });
    } catch (cause) {
      await this.#release(digest);
      throw cause;
    }
  }

  /** The bytes are in the store. @throws UNAVAILABLE when they were removed again before the index knew of them. */
  async #commit(digest: Digest): Promise<void> {
    // Not with the caller's signal: what is in the store must be known also where nobody waits any more.
    const { signal } = this.#background;
    const known = await this.#index.commit(digest, 0, signal);
    if (!known && !(await this.adopt(digest, 0, signal))) {
      throw unavailable(
        `blob ${digestKey(digest)} was evicted while it was stored: upload it anew`,
        RETRY_MILLISECONDS,
      );
    }
    this.#pins.stored(digest);
  }

  /** Gives a reservation up. One that can't be given up now ends with its lease. */
  async #release(digest: Digest): Promise<void> {
    try {
      await this.#index.release([digest], this.#background.signal);
    } catch (cause) {
      this.#dependencies.logger.debug({ err: cause }, 'a reservation is left to its lease');
    }
  }

  /** A blob that turned out to be gone is not promised any more. */
  async #failedRead(digest: Digest, cause: unknown): Promise<void> {
    if (!isMissing(cause)) return;
    try {
      await this.#index.forget([digest], this.#background.signal);
    } catch (failure) {
      this.#dependencies.logger.warn({ err: failure, digest: digestKey(digest) }, 'the index still has a lost blob');
    }
  }

  async #adoptRead(digests: readonly Digest[]): Promise<void> {
    const { signal } = this.#background;
    await mapConcurrently(digests, CONCURRENT_ADOPTIONS, signal, (digest) => this.adopt(digest, 0, signal));
  }
}
