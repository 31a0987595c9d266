import type { Digest } from '../domain/digest.ts';

/**
 * Keeps blobs from eviction while somebody needs them: the inputs and outputs of unfinished jobs.
 *
 * A pin does not store a blob, and does not keep an explicit delete from removing it.
 */
export interface BlobPins {
  /** Adds blobs to those that `owner` (such as a job's id) needs. Blobs that are not stored yet may be named. */
  pin(owner: string, digests: Iterable<Digest>): void;
  /** Lets go of everything that `owner` needed. An unknown owner is ignored. */
  unpin(owner: string): void;
}
