import { createDigest, type Digest, digestKey } from '../../../domain/digest.ts';
import { digestFunctionByWireValue } from '../../../domain/digest-function.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { BlobIndex, BlobIndexTotals, IndexedBlob, Reservation } from '../../../ports/blob-index.ts';
import { RecordIndex } from '../../segments/record-index.ts';
import {
  digestRecordKey,
  keyHash,
  keySizeBytes,
  keyTag,
  newRecordKey,
  type RecordKey,
} from '../../segments/record-key.ts';
import { eachOnce } from '../each-once.ts';

export interface MemoryBlobIndexOptions {
  readonly clock: Clock;
  /** Milliseconds. */
  readonly lease: number;
  readonly resolution: number;
  /** Any number; should be random. */
  readonly seed: number;
}

/** A blob that is being written or evicted. */
interface Leased {
  readonly digest: Digest;
  deadline: number;
}

/** Hexadecimal characters of a hash that a record key holds. */
const KEY_HASH_CHARACTERS = 64;
/** What is not kept any more is forgotten once there are so many more. */
const SWEEP_KEPT_EVERY = 10_000;
/** Entries looked at before others get their turn. */
const SLICE = 4096;

/**
 * The index of a store that one process has: some 75 bytes a blob, and gone with the process, so that it is made anew from
 * the store at each start. Times of use are kept in seconds.
 */
export class MemoryBlobIndex implements BlobIndex {
  readonly lease: number;
  readonly resolution: number;
  readonly #clock: Clock;
  readonly #stored: RecordIndex;
  /** Hashes that are too long for a key to hold them whole, by entry. */
  readonly #longHashes = new Map<number, string>();
  readonly #reserved = new Map<string, Leased>();
  readonly #claimed = new Map<string, Leased>();
  /** Until when blobs are kept from eviction. */
  readonly #kept = new Map<string, number>();
  readonly #key = newRecordKey();
  #keptSwept = 0;
  #bytes = 0;
  #evictingBytes = 0;
  #sorted = true;

  constructor(options: MemoryBlobIndexOptions) {
    this.lease = options.lease;
    this.resolution = options.resolution;
    this.#clock = options.clock;
    this.#stored = new RecordIndex(options.seed);
  }

  get knownTotals(): BlobIndexTotals {
    return {
      blobs: this.#stored.count + this.#reserved.size + this.#claimed.size,
      bytes: this.#bytes,
      evictingBlobs: this.#claimed.size,
      evictingBytes: this.#evictingBytes,
    };
  }

  async totals(signal: AbortSignal): Promise<BlobIndexTotals> {
    signal.throwIfAborted();
    return this.knownTotals;
  }

  async touch(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    return eachOnce(digests.filter((digest) => !this.#use(digest)));
  }

  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    return eachOnce(digests.filter((digest) => this.#find(digest) < 0));
  }

  async keep(digests: readonly Digest[], milliseconds: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const now = this.#clock.now();
    for (const digest of digests) {
      const key = digestKey(digest);
      if (this.#find(digest) >= 0) this.#kept.set(key, Math.max(this.#kept.get(key) ?? 0, now + milliseconds));
    }
    if (this.#kept.size < this.#keptSwept + SWEEP_KEPT_EVERY) return;
    for (const [key, until] of this.#kept) {
      if (until <= now) this.#kept.delete(key);
    }
    this.#keptSwept = this.#kept.size;
  }

  async reserve(digest: Digest, signal: AbortSignal): Promise<Reservation> {
    signal.throwIfAborted();
    if (this.#use(digest)) return 'stored';
    const key = digestKey(digest);
    if (this.#claimed.has(key)) return 'evicting';
    if (!this.#reserved.has(key)) this.#bytes += digest.sizeBytes;
    this.#reserved.set(key, { digest, deadline: this.#clock.now() + this.lease });
    return 'reserved';
  }

  async commit(digest: Digest, unusedFor: number, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    if (!this.#reserved.delete(digestKey(digest))) return this.#find(digest) >= 0;
    this.#insert(digest, Math.floor((this.#clock.now() - unusedFor) / 1_000));
    if (unusedFor > 0) this.#sorted = false;
    return true;
  }

  async release(digests: readonly Digest[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const digest of digests) {
      if (this.#reserved.delete(digestKey(digest))) this.#bytes -= digest.sizeBytes;
    }
  }

  async forget(digests: readonly Digest[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const digest of digests) {
      if (this.#remove(digest)) this.#bytes -= digest.sizeBytes;
    }
  }

  async *oldest(unusedFor: number, signal: AbortSignal): AsyncGenerator<IndexedBlob> {
    if (!this.#sorted) {
      this.#stored.sortByLastUse();
      this.#sorted = true;
    }
    const isTooYoung = this.#youth(unusedFor);
    for (let id = this.#stored.oldest(); id >= 0; ) {
      signal.throwIfAborted();
      if (isTooYoung(this.#stored.lastUseOf(id))) return;
      const blob = this.#blobOf(id);
      const next = this.#stored.newerThan(id);
      if (!this.#isKept(blob.digest)) yield blob;
      // Whoever takes blobs one by one may remove the next; then the order goes on from its beginning.
      id = next >= 0 && !this.#stored.isUsed(next) ? this.#stored.oldest() : next;
    }
  }

  async claim(digests: readonly Digest[], unusedFor: number | undefined, signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const isTooYoung = unusedFor === undefined ? undefined : this.#youth(unusedFor);
    return digests.filter((digest) => {
      const id = this.#find(digest);
      if (isTooYoung === undefined) {
        if (id >= 0) this.#remove(digest);
        else if (!this.#reserved.delete(digestKey(digest))) return false;
      } else {
        if (id < 0 || isTooYoung(this.#stored.lastUseOf(id)) || this.#isKept(digest)) return false;
        this.#remove(digest);
      }
      this.#addClaim(digest);
      return true;
    });
  }

  async reclaim(limit: number, signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const now = this.#clock.now();
    const taken: Digest[] = [];
    for (const leases of [this.#claimed, this.#reserved]) {
      for (const [key, { digest, deadline }] of leases) {
        if (taken.length >= limit) return taken;
        if (deadline > now) continue;
        leases.delete(key);
        if (leases === this.#claimed) this.#evictingBytes -= digest.sizeBytes;
        taken.push(digest);
        this.#addClaim(digest);
      }
    }
    return taken;
  }

  async settle(removed: readonly Digest[], kept: readonly IndexedBlob[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const digest of removed) {
      if (this.#endClaim(digest)) this.#bytes -= digest.sizeBytes;
    }
    for (const { digest, lastUsedAt } of kept) {
      if (!this.#endClaim(digest)) continue;
      this.#insert(digest, Math.floor(lastUsedAt / 1_000));
      this.#sorted = false;
    }
  }

  async *scan(signal: AbortSignal): AsyncGenerator<IndexedBlob> {
    for (let id = 0; id < this.#stored.slots; id++) {
      if (id % SLICE === SLICE - 1) await new Promise<void>((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
      if (this.#stored.isUsed(id)) yield this.#blobOf(id);
    }
  }

  #use(digest: Digest): boolean {
    const id = this.#find(digest);
    if (id < 0) return false;
    const now = Math.floor(this.#clock.now() / 1_000);
    // A use that lies ahead is of a clock that has been set back since.
    if (Math.abs(now - this.#stored.lastUseOf(id)) * 1_000 >= this.resolution) this.#stored.touch(id, now);
    return true;
  }

  /** Tells whether what was used at a time, in seconds, was used within so many milliseconds; as a record store does. */
  #youth(unusedFor: number): (lastUseSeconds: number) => boolean {
    const now = this.#clock.now() / 1_000;
    const age = unusedFor / 1_000;
    return (lastUse) => lastUse > now - age && lastUse < now + age;
  }

  #find(digest: Digest): number {
    return this.#stored.find(this.#keyOf(digest));
  }

  #keyOf(digest: Digest): RecordKey {
    return digestRecordKey(digest.hash, digest.sizeBytes, digest.digestFunction.wireValue, this.#key);
  }

  #insert(digest: Digest, lastUse: number): void {
    if (this.#find(digest) >= 0) return;
    const id = this.#stored.insert(this.#keyOf(digest), 0, 0, 0, lastUse);
    if (digest.hash.length > KEY_HASH_CHARACTERS) this.#longHashes.set(id, digest.hash);
  }

  #remove(digest: Digest): boolean {
    const id = this.#find(digest);
    if (id < 0) return false;
    this.#stored.remove(id);
    this.#longHashes.delete(id);
    this.#kept.delete(digestKey(digest));
    return true;
  }

  #isKept(digest: Digest): boolean {
    return this.#kept.size > 0 && (this.#kept.get(digestKey(digest)) ?? 0) > this.#clock.now();
  }

  #addClaim(digest: Digest): void {
    this.#claimed.set(digestKey(digest), { digest, deadline: this.#clock.now() + this.lease });
    this.#evictingBytes += digest.sizeBytes;
  }

  #endClaim(digest: Digest): boolean {
    if (!this.#claimed.delete(digestKey(digest))) return false;
    this.#evictingBytes -= digest.sizeBytes;
    return true;
  }

  #blobOf(id: number): IndexedBlob {
    const key = this.#stored.readKey(id, this.#key);
    const digestFunction = digestFunctionByWireValue(keyTag(key));
    if (digestFunction === undefined) throw new Error('unreachable: only digests of known functions are put in');
    const hash = this.#longHashes.get(id) ?? keyHash(key, digestFunction.hashLength);
    const digest = createDigest(digestFunction, hash, keySizeBytes(key));
    return { digest, lastUsedAt: this.#stored.lastUseOf(id) * 1_000 };
  }
}
