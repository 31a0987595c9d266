import type { Digest } from '../../domain/digest.ts';
import type { Logger } from '../../lib/log.ts';
import type { ActionCacheStore } from '../../ports/action-cache-store.ts';

/**
 * A small fast action cache in front of a large slow one, which has everything. Without the fast one all goes on, only
 * slower.
 *
 * Where others share the slow one, the fast one may still have a result that was replaced there: both are results of the
 * same action.
 */
export class TieredActionCacheStore implements ActionCacheStore {
  readonly #fast: ActionCacheStore;
  readonly #slow: ActionCacheStore;
  readonly #logger: Logger;

  constructor(fast: ActionCacheStore, slow: ActionCacheStore, logger: Logger) {
    this.#fast = fast;
    this.#slow = slow;
    this.#logger = logger;
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const near = await this.#try(() => this.#fast.get(instanceName, actionDigest, signal), signal);
    if (near !== undefined) return near;
    const far = await this.#slow.get(instanceName, actionDigest, signal);
    if (far !== undefined) await this.#try(() => this.#fast.put(instanceName, actionDigest, far, signal), signal);
    return far;
  }

  async put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#slow.put(instanceName, actionDigest, actionResult, signal);
    await this.#try(() => this.#fast.put(instanceName, actionDigest, actionResult, signal), signal);
  }

  /** As strict as the slow one is. */
  async putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const before = await this.#slow.putFirst(instanceName, actionDigest, actionResult, signal);
    await this.#try(() => this.#fast.put(instanceName, actionDigest, before ?? actionResult, signal), signal);
    return before;
  }

  async delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void> {
    await this.#slow.delete(instanceName, actionDigest, signal);
    await this.#fast.delete(instanceName, actionDigest, signal);
  }

  async #try<T>(call: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    try {
      return await call();
    } catch (cause) {
      signal.throwIfAborted();
      this.#logger.warn({ err: cause }, 'the fast action cache could not be used');
      return undefined;
    }
  }
}
