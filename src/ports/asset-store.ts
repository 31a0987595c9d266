import type { Asset, AssetKey } from '../domain/asset.ts';

/**
 * Where it is kept which content a URI stands for.
 *
 * Whether that content is still stored is looked up above this port. Every entry may be dropped to make room: what was
 * fetched is fetched again, and what was pushed is pushed again.
 */
export interface AssetStore {
  /** The asset, or undefined where there is none or its time has passed. Extends the entry's life. */
  get(key: AssetKey, signal: AbortSignal): Promise<Asset | undefined>;
  /** Stores or replaces an asset. @throws RESOURCE_EXHAUSTED when full. */
  put(key: AssetKey, asset: Asset, signal: AbortSignal): Promise<void>;
  /** Removes an asset. One that is not stored is ignored. */
  delete(key: AssetKey, signal: AbortSignal): Promise<void>;
}
