import type { Digest } from '../domain/digest.ts';

/** One blob as an index knows it. */
export interface IndexedBlob {
  readonly digest: Digest;
  /** Milliseconds since the epoch, on the index' own clock. */
  readonly lastUsedAt: number;
}

/** What an index counts. */
export interface BlobIndexTotals {
  /** Blobs that are stored, being written or being evicted. */
  readonly blobs: number;
  readonly bytes: number;
  /** Those of them that are being evicted. */
  readonly evictingBlobs: number;
  readonly evictingBytes: number;
}

/**
 * What became of the wish to write a blob.
 *
 * - `stored`: it is there already, and counts as used.
 * - `reserved`: it counts from now on, and nobody evicts it until the lease is over.
 * - `evicting`: somebody is removing it from the store at this moment; come again soon.
 */
export type Reservation = 'stored' | 'reserved' | 'evicting';

/**
 * Which blobs a store has, how large they are, and when each was used last: so that nobody needs to ask the store what is
 * missing or what to evict. Replicas that share a store share its index.
 *
 * A blob is in one of three states. `reserved`, while it is written; `stored`; `evicting`, while somebody who has claimed
 * it removes it from the store. Only from the state `evicting` is a blob ever removed from the store, and nothing is
 * written in that state, so that no removal ever meets a blob that has come back. Reservations and claims are leases: what
 * a dead process has left is taken over with `reclaim`.
 *
 * The index' clock is its own: callers name durations, in milliseconds.
 */
export interface BlobIndex {
  /** How long a reservation or a claim holds. Renew a reservation by reserving again. */
  readonly lease: number;
  /** A use is not noted anew within so many milliseconds of the last: what was used is that much older at most. */
  readonly resolution: number;
  /** The totals as far as this process has heard; `totals` asks. */
  readonly knownTotals: BlobIndexTotals;

  /** Notes the use of what is stored. @returns the digests that are not, each once, in the order given. */
  touch(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]>;

  /** Those of the digests that are not stored, each once, in the order given. Notes no use. */
  findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]>;

  /** Keeps what is stored of these from eviction for so long. Others are ignored. */
  keep(digests: readonly Digest[], milliseconds: number, signal: AbortSignal): Promise<void>;

  /** Announces that a blob will be written. @throws RESOURCE_EXHAUSTED when the index itself is full. */
  reserve(digest: Digest, signal: AbortSignal): Promise<Reservation>;

  /**
   * A blob that was reserved is in the store, used last so many milliseconds ago.
   *
   * @returns whether it is stored now; false where the reservation was lost, and with it perhaps the blob.
   */
  commit(digest: Digest, unusedFor: number, signal: AbortSignal): Promise<boolean>;

  /** Gives up reservations. Others are ignored. */
  release(digests: readonly Digest[], signal: AbortSignal): Promise<void>;

  /** Takes out what counted as stored and turned out not to be in the store. Others are ignored. */
  forget(digests: readonly Digest[], signal: AbortSignal): Promise<void>;

  /** What is stored, is not kept, and has not been used for so long: from the least to the most recently used. */
  oldest(unusedFor: number, signal: AbortSignal): AsyncIterable<IndexedBlob>;

  /**
   * Claims blobs for removal: of several callers at once one gets each of them.
   *
   * @param unusedFor those that are stored, not kept and not used for so long; undefined for all that are stored or
   *   reserved, whatever else holds.
   * @returns those that the caller got. It removes them from the store well within the lease, and settles them.
   */
  claim(digests: readonly Digest[], unusedFor: number | undefined, signal: AbortSignal): Promise<Digest[]>;

  /** Claims, at most `limit` at a time, what others have reserved or claimed, and left until the lease was over. */
  reclaim(limit: number, signal: AbortSignal): Promise<Digest[]>;

  /** Ends claims: `removed` are gone from the store, `kept` are still there. */
  settle(removed: readonly Digest[], kept: readonly IndexedBlob[], signal: AbortSignal): Promise<void>;

  /** All that is stored, in any order. What is stored during the whole scan is in it at least once. */
  scan(signal: AbortSignal): AsyncIterable<IndexedBlob>;

  totals(signal: AbortSignal): Promise<BlobIndexTotals>;
}
