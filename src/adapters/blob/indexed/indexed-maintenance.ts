import { type Digest, digestKey } from '../../../domain/digest.ts';
import type { Clock } from '../../../lib/clock.ts';
import { mapConcurrently } from '../../../lib/semaphore.ts';
import type { BlobIndex } from '../../../ports/blob-index.ts';
import type { BlobListing, ListedBlob } from '../../../ports/blob-listing.ts';
import type { BlobStore } from '../../../ports/blob-store.ts';
import type {
  CleaningReport,
  IndexDifference,
  RebuildReport,
  StoreMaintenance,
  StoreUsage,
} from '../../../ports/store-maintenance.ts';
import { CleaningTally } from '../../cleaning-tally.ts';
import type { IndexedBlobStore } from './indexed-blob-store.ts';

/** Blobs that are looked up together. */
const BATCH = 1_000;
const CONCURRENT_ADOPTIONS = 64;

export interface IndexedMaintenanceDependencies {
  readonly clock: Clock;
  readonly index: BlobIndex;
  readonly store: BlobStore;
  /** Undefined where the store cannot tell what it has. */
  readonly listing: BlobListing | undefined;
  /** Resolves once the index is no longer being made anew. */
  whenReady(): Promise<void>;
}

/** Looks after an indexed store while it serves, on any replica. */
export class IndexedMaintenance implements StoreMaintenance {
  readonly #blobs: IndexedBlobStore;
  readonly #dependencies: IndexedMaintenanceDependencies;

  constructor(blobs: IndexedBlobStore, dependencies: IndexedMaintenanceDependencies) {
    this.#blobs = blobs;
    this.#dependencies = dependencies;
  }

  async usage(signal: AbortSignal): Promise<StoreUsage> {
    const { blobs, bytes } = await this.#dependencies.index.totals(signal);
    const { maximum } = this.#blobs;
    const maximumEntries = Number.isFinite(maximum.blobs) ? maximum.blobs : undefined;
    return { entries: blobs, bytes, maximumBytes: maximum.bytes, maximumEntries };
  }

  async clean(targetBytes: number | undefined, dryRun: boolean, signal: AbortSignal): Promise<CleaningReport> {
    await this.#dependencies.whenReady();
    const { cleaner } = this.#blobs;
    const target = targetBytes === undefined ? cleaner.low : { bytes: targetBytes, blobs: cleaner.low.blobs };
    const tally = new CleaningTally();
    if (dryRun) {
      for await (const blob of cleaner.plan(target, signal)) tally.add(blob.digest.sizeBytes, blob.lastUsedAt);
    } else {
      await cleaner.reclaim(signal);
      await cleaner.clean(target, signal, (blob) => tally.add(blob.digest.sizeBytes, blob.lastUsedAt));
    }
    return tally.report;
  }

  async *check(signal: AbortSignal): AsyncGenerator<IndexDifference> {
    await this.#dependencies.whenReady();
    for await (const digest of this.#lost(signal)) yield { what: 'lost', entry: digestKey(digest) };
    for await (const { digest } of this.#unknown(signal)) yield { what: 'unknown', entry: digestKey(digest) };
  }

  async rebuild(signal: AbortSignal): Promise<RebuildReport> {
    const { clock, index, listing } = this.#dependencies;
    let removed = 0;
    for await (const batch of inBatches(this.#lost(signal))) {
      await index.forget(batch, signal);
      removed += batch.length;
    }
    let added = 0;
    for await (const batch of inBatches(this.#unknown(signal))) {
      const adopted = await mapConcurrently(batch, CONCURRENT_ADOPTIONS, signal, ({ digest, storedAt }) =>
        this.#blobs.adopt(digest, storedAt === undefined ? 0 : Math.max(0, clock.now() - storedAt), signal),
      );
      added += adopted.filter(Boolean).length;
    }
    const { blobs, bytes } = await index.totals(signal);
    return { entries: blobs, bytes, added, removed, listed: listing !== undefined };
  }

  /** What the index has and the store does not. */
  async *#lost(signal: AbortSignal): AsyncGenerator<Digest> {
    const { index, store } = this.#dependencies;
    for await (const batch of inBatches(index.scan(signal))) {
      const missing = await store.findMissing(
        batch.map(({ digest }) => digest),
        signal,
      );
      if (missing.length === 0) continue;
      // What was evicted between the two questions is no difference.
      const gone = new Set((await index.findMissing(missing, signal)).map(digestKey));
      for (const digest of missing) if (!gone.has(digestKey(digest))) yield digest;
    }
  }

  /** What the store has and the index does not. */
  async *#unknown(signal: AbortSignal): AsyncGenerator<ListedBlob> {
    const { index, store, listing } = this.#dependencies;
    if (listing === undefined) return;
    for await (const batch of inBatches(listing.list(signal))) {
      const byKey = new Map(batch.map((blob) => [digestKey(blob.digest), blob]));
      const unknown = await index.findMissing(
        batch.map(({ digest }) => digest),
        signal,
      );
      if (unknown.length === 0) continue;
      // What was evicted, or stored, between the questions is no difference.
      const gone = new Set((await store.findMissing(unknown, signal)).map(digestKey));
      const still = await index.findMissing(
        unknown.filter((digest) => !gone.has(digestKey(digest))),
        signal,
      );
      for (const digest of still) yield byKey.get(digestKey(digest)) ?? { digest, storedAt: undefined };
    }
  }
}

async function* inBatches<T>(source: AsyncIterable<T>): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const each of source) {
    batch.push(each);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
