import type { Digest } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { ActionCacheStore } from '../../ports/action-cache-store.ts';

/** An action cache that nobody changes: every change is PERMISSION_DENIED, as Capabilities tells beforehand. */
export class ReadOnlyActionCacheStore implements ActionCacheStore {
  readonly #inner: ActionCacheStore;

  constructor(inner: ActionCacheStore) {
    this.#inner = inner;
  }

  get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#inner.get(instanceName, actionDigest, signal);
  }

  put(): Promise<void> {
    return Promise.reject(refusal());
  }

  putFirst(): Promise<never> {
    return Promise.reject(refusal());
  }

  delete(): Promise<void> {
    return Promise.reject(refusal());
  }
}

function refusal(): StatusError {
  return new StatusError(StatusCode.PERMISSION_DENIED, 'this action cache is read-only');
}
