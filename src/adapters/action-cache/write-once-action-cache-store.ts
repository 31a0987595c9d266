import type { Digest } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import { KeyedLock } from '../../lib/keyed-lock.ts';
import type { ActionCacheStore } from '../../ports/action-cache-store.ts';
import { actionResultKey } from './action-result-key.ts';

/**
 * An action cache whose first result of an action stands. Putting the same bytes again succeeds; others are
 * ALREADY_EXISTS, until the entry is deleted.
 *
 * Within one process this holds strictly; across replicas as far as the shared store's `putFirst` does. Only where two
 * replicas give up the same incomplete result in one moment, either may replace what the other has just put.
 */
export class WriteOnceActionCacheStore implements ActionCacheStore {
  readonly #inner: ActionCacheStore;
  readonly #turns = new KeyedLock();

  constructor(inner: ActionCacheStore) {
    this.#inner = inner;
  }

  get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#inner.get(instanceName, actionDigest, signal);
  }

  put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    const key = actionResultKey(instanceName, actionDigest);
    return this.#turns.run(key, async () => {
      const first = await this.#inner.putFirst(instanceName, actionDigest, actionResult, signal);
      if (first !== undefined && !Buffer.from(first).equals(actionResult)) {
        throw new StatusError(
          StatusCode.ALREADY_EXISTS,
          'the action has a result already, and this action cache keeps the first',
        );
      }
    });
  }

  putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const key = actionResultKey(instanceName, actionDigest);
    return this.#turns.run(key, () => this.#inner.putFirst(instanceName, actionDigest, actionResult, signal));
  }

  delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void> {
    const key = actionResultKey(instanceName, actionDigest);
    return this.#turns.run(key, () => this.#inner.delete(instanceName, actionDigest, signal));
  }
}
