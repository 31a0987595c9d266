import type { Digest } from '../domain/digest.ts';

/**
 * Where results of actions are kept, as encoded ActionResult messages: stores know nothing of what is inside.
 *
 * Keys are instance and action digest. Completeness checking is done above this port.
 */
export interface ActionCacheStore {
  /** The encoded ActionResult, or undefined. Extends the entry's life. */
  get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Stores or replaces an entry; durable, as configured, once it resolves. @throws RESOURCE_EXHAUSTED when full. */
  put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void>;
  /**
   * Stores an entry where there is none, as `put` does.
   *
   * Of several callers at once, on whatever replica, one gets its own stored and all others are told of it, as far as what
   * the store stands on can promise that; each adapter says how far that is.
   *
   * @returns the entry that was there before; undefined where the caller's is stored.
   */
  putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined>;
  /** Removes an entry. One that is not stored is ignored. */
  delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void>;
}
