import type { Digest } from '../../../domain/digest.ts';
import type { ActionCacheStore } from '../../../ports/action-cache-store.ts';
import type { RedisEntries } from '../../state/redis/redis-entries.ts';
import { actionResultKey } from '../action-result-key.ts';

/** Results of actions in Redis, one key each. */
export class RedisActionCacheStore implements ActionCacheStore {
  readonly #entries: RedisEntries;

  constructor(entries: RedisEntries) {
    this.#entries = entries;
  }

  get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#entries.get(actionResultKey(instanceName, actionDigest), signal);
  }

  put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#entries.set(actionResultKey(instanceName, actionDigest), actionResult, signal);
  }

  /** Holds strictly, for all that share the Redis. */
  putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    return this.#entries.setFirst(actionResultKey(instanceName, actionDigest), actionResult, signal);
  }

  delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void> {
    return this.#entries.delete(actionResultKey(instanceName, actionDigest), signal);
  }
}
