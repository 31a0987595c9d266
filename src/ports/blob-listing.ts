import type { Digest } from '../domain/digest.ts';

/** One blob as a store lists it. */
export interface ListedBlob {
  readonly digest: Digest;
  /** Milliseconds since the epoch at which it was stored; undefined where the store does not tell. */
  readonly storedAt: number | undefined;
}

/** A store that can tell what it has: for an index that is made anew from it, or held against it. */
export interface BlobListing {
  /**
   * Every blob that is stored, in any order. What is stored or removed meanwhile may be in it or not; a blob may come
   * twice. What the store holds beside blobs is passed over.
   */
  list(signal: AbortSignal): AsyncIterable<ListedBlob>;
}
