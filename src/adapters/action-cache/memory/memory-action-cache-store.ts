import type { Digest } from '../../../domain/digest.ts';
import { LruMap } from '../../../lib/lru-map.ts';
import type { ActionCacheStore } from '../../../ports/action-cache-store.ts';
import { actionResultKey } from '../action-result-key.ts';

/** What an entry weighs beside its bytes, so that many small entries are bounded too. */
const ENTRY_OVERHEAD_BYTES = 256;

/** Results of actions in memory, the least recently used dropped beyond a total size. */
export class MemoryActionCacheStore implements ActionCacheStore {
  readonly #entries: LruMap<string, Uint8Array>;

  /** @param maximumSizeBytes the greatest total size of all entries, with 256 bytes for each entry's own needs. */
  constructor(maximumSizeBytes: number) {
    this.#entries = new LruMap(maximumSizeBytes, (value, key) => value.byteLength + key.length + ENTRY_OVERHEAD_BYTES);
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    signal.throwIfAborted();
    return this.#entries.get(actionResultKey(instanceName, actionDigest))?.slice();
  }

  async put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#entries.set(actionResultKey(instanceName, actionDigest), new Uint8Array(actionResult));
  }

  async putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    signal.throwIfAborted();
    const key = actionResultKey(instanceName, actionDigest);
    const before = this.#entries.get(key);
    if (before === undefined) this.#entries.set(key, new Uint8Array(actionResult));
    return before?.slice();
  }

  async delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#entries.delete(actionResultKey(instanceName, actionDigest));
  }
}
