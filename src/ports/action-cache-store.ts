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
  /** Removes an entry. One that is not stored is ignored. */
  delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void>;
}
