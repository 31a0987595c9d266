import type { Digest } from '../domain/digest.ts';
import type { ActionResult } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { ActionResults } from '../services/instances.ts';

/** Hears of every look into the action cache. */
export interface ActionCacheObserver {
  actionCacheLookup(hit: boolean): void;
}

/** The action cache, watched. */
export class ObservedActionResults implements ActionResults {
  readonly #inner: ActionResults;
  readonly #observer: ActionCacheObserver;

  constructor(inner: ActionResults, observer: ActionCacheObserver) {
    this.#inner = inner;
    this.#observer = observer;
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<ActionResult | undefined> {
    const result = await this.#inner.get(instanceName, actionDigest, signal);
    this.#observer.actionCacheLookup(result !== undefined);
    return result;
  }

  put(instanceName: string, actionDigest: Digest, result: ActionResult, signal: AbortSignal): Promise<void> {
    return this.#inner.put(instanceName, actionDigest, result, signal);
  }
}
