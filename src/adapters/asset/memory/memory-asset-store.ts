import type { Asset, AssetKey } from '../../../domain/asset.ts';
import type { Clock } from '../../../lib/clock.ts';
import { LruMap } from '../../../lib/lru-map.ts';
import type { AssetStore } from '../../../ports/asset-store.ts';
import { decodeAsset, encodeAsset, hasExpired } from '../asset-record.ts';

/** What an entry weighs beside its bytes, so that many small entries are bounded too. */
const ENTRY_OVERHEAD_BYTES = 256;

/** Assets in memory, the least recently used dropped beyond a total size. */
export class MemoryAssetStore implements AssetStore {
  readonly #entries: LruMap<AssetKey, Uint8Array>;
  readonly #clock: Clock;

  /** @param maximumSizeBytes the greatest total size of all entries, with 256 bytes for each entry's own needs. */
  constructor(maximumSizeBytes: number, clock: Clock) {
    this.#entries = new LruMap(maximumSizeBytes, (value, key) => value.byteLength + key.length + ENTRY_OVERHEAD_BYTES);
    this.#clock = clock;
  }

  async get(key: AssetKey, signal: AbortSignal): Promise<Asset | undefined> {
    signal.throwIfAborted();
    const encoded = this.#entries.get(key);
    const asset = encoded === undefined ? undefined : decodeAsset(encoded);
    if (asset === undefined || !hasExpired(asset, this.#clock.now())) return asset;
    this.#entries.delete(key);
    return undefined;
  }

  async put(key: AssetKey, asset: Asset, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#entries.set(key, encodeAsset(asset));
  }

  async delete(key: AssetKey, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#entries.delete(key);
  }
}
