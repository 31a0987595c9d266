import { type Digest, digestKey } from '../../../domain/digest.ts';
import { deadlineSignal } from '../../../lib/abort.ts';
import { type Clock, sleep, type Timer } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { mapConcurrently } from '../../../lib/semaphore.ts';
import type { BlobIndex, BlobIndexTotals, IndexedBlob } from '../../../ports/blob-index.ts';
import type { BlobStore } from '../../../ports/blob-store.ts';

/** How much there may be. */
export interface StoreLevel {
  readonly bytes: number;
  readonly blobs: number;
}

export interface IndexCleanerOptions {
  readonly maximum: StoreLevel;
  /** Parts of the maximum at which cleaning begins, and down to which it goes. */
  readonly highWatermark: number;
  readonly lowWatermark: number;
  readonly minimumAgeMilliseconds: number;
}

export interface IndexCleanerDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
  /** What this process needs and the index may not have heard of yet. */
  isNeeded(digest: Digest): boolean;
}

/** From this part of the high watermark on each upload asks the index how much there is. */
const NEAR_HIGH = 0.95;
/** Blobs that are evicted together; between two batches the totals are read anew, so that replicas share the work. */
const BATCH = 256;
/** Blobs that are removed from the store at once. */
const CONCURRENT_DELETES = 16;
/** Removals of a batch end, or are given up, in this part of the lease. */
const PART_OF_LEASE = 0.5;
/** Batches in a row of which another had everything before cleaning leaves it to the other. */
const FRUITLESS_BATCHES = 3;
/** So often a replica looks whether others have filled the store, or left something half done. */
const LOOK_MILLISECONDS = 2_000;
const RECLAIM_MILLISECONDS = 30_000;
/** After cleaning that did not get far enough, so long passes before the next attempt. */
const PAUSE_MILLISECONDS = 1_000;
/** So often an upload looks whether what is being evicted is gone. */
const POLL_MILLISECONDS = 50;

/**
 * Evicts what was used least recently from a store that has an index: by bytes and by count, from the high watermark down
 * to the low one, in batches between which everything else goes on.
 *
 * Any number of replicas clean at once. A blob is removed by the one that has claimed it; each reads before every batch
 * how much is left to do, what others have claimed taken off.
 */
export class IndexCleaner {
  readonly #index: BlobIndex;
  readonly #store: BlobStore;
  readonly #options: IndexCleanerOptions;
  readonly #dependencies: IndexCleanerDependencies;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #timer: Timer | undefined;
  #waiting: Array<() => void> = [];
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #reclaimDue = 0;

  /** @param store is asked for removals alone. */
  constructor(
    index: BlobIndex,
    store: BlobStore,
    options: IndexCleanerOptions,
    dependencies: IndexCleanerDependencies,
  ) {
    this.#index = index;
    this.#store = store;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#reclaimDue = dependencies.clock.monotonic() + RECLAIM_MILLISECONDS;
    this.#armTimer();
  }

  /** Where cleaning ends. */
  get low(): StoreLevel {
    const { maximum, lowWatermark } = this.#options;
    return { bytes: maximum.bytes * lowWatermark, blobs: maximum.blobs * lowWatermark };
  }

  /** Milliseconds without use after which a blob may go. A use may have been noted late by the index' resolution. */
  get evictableAfter(): number {
    const { minimumAgeMilliseconds } = this.#options;
    return minimumAgeMilliseconds === 0 ? 0 : minimumAgeMilliseconds + this.#index.resolution;
  }

  /** Begins to clean in the background if the high watermark is passed, as far as this process has heard. */
  consider(): void {
    if (this.#running !== undefined || this.#stop.signal.aborted || !this.#isHigh(this.#index.knownTotals)) return;
    if (this.#dependencies.clock.monotonic() < this.#pausedUntil) return;
    void this.#start();
  }

  /**
   * Waits for room for what has been reserved. Above the high watermark it waits for cleaning to make progress, so that
   * uploads, however fast, do not carry the store beyond it.
   *
   * @returns whether there is no more than there may be; false where nothing more can be evicted now.
   */
  async waitForRoom(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#dependencies;
    const { maximum } = this.#options;
    for (const began = clock.monotonic(); ; ) {
      // Others may have filled it: near the watermark what this process has heard is not enough.
      if (isAbove(this.#index.knownTotals, this.#levelOf(NEAR_HIGH))) await this.#index.totals(signal);
      await this.#untilBelowHigh();
      if (!isAbove(this.#index.knownTotals, maximum)) return true;
      // Others may have made room that this process has not heard of.
      const totals = await this.#index.totals(signal);
      if (!isAbove(totals, maximum)) return true;
      const now = clock.monotonic();
      if (now - began > this.#index.lease * PART_OF_LEASE) return false;
      if (isAbove(withoutEvicting(totals), maximum) && now < this.#pausedUntil) return false;
      // What is claimed is still there, and will be gone soon.
      await sleep(clock, POLL_MILLISECONDS, signal);
    }
  }

  /**
   * Cleans down to a level, or as far as may be.
   *
   * @param evicted hears of every blob that is gone. @returns how many those are.
   */
  async clean(
    target: StoreLevel,
    signal: AbortSignal,
    evicted: (blob: IndexedBlob) => void = () => {},
  ): Promise<number> {
    let count = 0;
    for (let fruitless = 0; fruitless < FRUITLESS_BATCHES; ) {
      signal.throwIfAborted();
      const batch = await this.#nextBatch(await this.#index.totals(signal), target, signal);
      if (batch.length === 0) break;
      const removed = await this.#evict(batch, signal);
      for (const each of removed) evicted(each);
      count += removed.length;
      if (!isAbove(this.#index.knownTotals, this.#high)) this.#wake();
      fruitless = removed.length === 0 ? fruitless + 1 : 0;
    }
    return count;
  }

  /** What `clean` would evict now, and does not. */
  async *plan(target: StoreLevel, signal: AbortSignal): AsyncGenerator<IndexedBlob> {
    yield* this.#excess(await this.#index.totals(signal), target, signal);
  }

  /** Removes what dead replicas have left half written or half evicted. */
  async reclaim(signal: AbortSignal): Promise<void> {
    for (;;) {
      const left = await this.#index.reclaim(BATCH, signal);
      if (left.length === 0) return;
      await this.removeClaimed(left.map((digest) => ({ digest, lastUsedAt: 0 })));
    }
  }

  /**
   * Removes from the store what is claimed, and settles it. What could not be removed is put back.
   *
   * @returns what is gone. @throws when the index can't be told; then the claims end with their lease.
   */
  async removeClaimed(blobs: readonly IndexedBlob[]): Promise<IndexedBlob[]> {
    const { clock, logger } = this.#dependencies;
    // Not with the caller's signal: a claim is ended in good order also where nobody waits any more.
    using deadline = deadlineSignal(clock, this.#index.lease * PART_OF_LEASE);
    const removed: IndexedBlob[] = [];
    const kept: IndexedBlob[] = [];
    let failure: unknown;
    await mapConcurrently(blobs, CONCURRENT_DELETES, new AbortController().signal, async (blob) => {
      try {
        deadline.signal.throwIfAborted();
        await this.#store.delete(blob.digest, deadline.signal);
        removed.push(blob);
      } catch (cause) {
        failure ??= cause;
        kept.push(blob);
      }
    });
    if (kept.length > 0) logger.warn({ err: failure, blobs: kept.length }, 'blobs could not be evicted');
    await this.#index.settle(
      removed.map(({ digest }) => digest),
      kept,
      deadline.signal.aborted ? new AbortController().signal : deadline.signal,
    );
    return removed;
  }

  /** Ends what is under way, its present batch in good order. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  async #nextBatch(totals: BlobIndexTotals, target: StoreLevel, signal: AbortSignal): Promise<IndexedBlob[]> {
    const batch: IndexedBlob[] = [];
    for await (const blob of this.#excess(totals, target, signal)) {
      batch.push(blob);
      if (batch.length >= BATCH) break;
    }
    return batch;
  }

  /** What must go to come down from `totals` to `target`, as far as it may go. */
  async *#excess(totals: BlobIndexTotals, target: StoreLevel, signal: AbortSignal): AsyncGenerator<IndexedBlob> {
    let bytes = totals.bytes - totals.evictingBytes - target.bytes;
    let blobs = totals.blobs - totals.evictingBlobs - target.blobs;
    if (bytes <= 0 && blobs <= 0) return;
    for await (const blob of this.#index.oldest(this.evictableAfter, signal)) {
      if (this.#dependencies.isNeeded(blob.digest)) continue;
      yield blob;
      bytes -= blob.digest.sizeBytes;
      blobs -= 1;
      if (bytes <= 0 && blobs <= 0) return;
    }
  }

  async #evict(batch: readonly IndexedBlob[], signal: AbortSignal): Promise<IndexedBlob[]> {
    const digests = batch.map(({ digest }) => digest);
    const claimed = new Set((await this.#index.claim(digests, this.evictableAfter, signal)).map(digestKey));
    if (claimed.size === 0) return [];
    return this.removeClaimed(batch.filter(({ digest }) => claimed.has(digestKey(digest))));
  }

  /** Resolves once no more than the high watermark is there, or cleaning has come to its end for now. */
  async #untilBelowHigh(): Promise<void> {
    // What is being evicted is still there: it counts until it is gone.
    if (this.#stop.signal.aborted || !isAbove(this.#index.knownTotals, this.#high)) return;
    this.consider();
    if (this.#running === undefined) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #start(): Promise<void> {
    const { clock, logger } = this.#dependencies;
    const run = async () => {
      try {
        const evicted = await this.clean(this.low, this.#stop.signal);
        if (evicted > 0) logger.debug({ blobs: evicted }, 'evicted blobs');
      } catch (cause) {
        if (!this.#stop.signal.aborted) logger.error({ err: cause }, 'cleaning of the store failed');
      }
      if (this.#isHigh(this.#index.knownTotals)) this.#pausedUntil = clock.monotonic() + PAUSE_MILLISECONDS;
    };
    const running = run().finally(() => {
      if (this.#running === running) this.#running = undefined;
      this.#wake();
    });
    this.#running = running;
    return running;
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #armTimer(): void {
    this.#timer = this.#dependencies.clock.setTimer(LOOK_MILLISECONDS, () => {
      void this.#look().finally(() => {
        if (!this.#stop.signal.aborted) this.#armTimer();
      });
    });
  }

  async #look(): Promise<void> {
    const { clock, logger } = this.#dependencies;
    const { signal } = this.#stop;
    try {
      await this.#index.totals(signal);
      if (clock.monotonic() >= this.#reclaimDue) {
        this.#reclaimDue = clock.monotonic() + RECLAIM_MILLISECONDS;
        await this.reclaim(signal);
      }
      this.consider();
    } catch (cause) {
      if (!signal.aborted) logger.warn({ err: cause }, 'the index of the store cannot be asked');
    }
  }

  /** Whether more must be evicted than is already on its way. */
  #isHigh(totals: BlobIndexTotals): boolean {
    return isAbove(withoutEvicting(totals), this.#high);
  }

  get #high(): StoreLevel {
    return this.#levelOf(1);
  }

  /** @param part of the high watermark. */
  #levelOf(part: number): StoreLevel {
    const { maximum, highWatermark } = this.#options;
    return { bytes: maximum.bytes * highWatermark * part, blobs: maximum.blobs * highWatermark * part };
  }
}

function withoutEvicting({ blobs, bytes, evictingBlobs, evictingBytes }: BlobIndexTotals): StoreLevel {
  return { bytes: bytes - evictingBytes, blobs: blobs - evictingBlobs };
}

function isAbove(level: StoreLevel, bound: StoreLevel): boolean {
  return level.bytes > bound.bytes || level.blobs > bound.blobs;
}
