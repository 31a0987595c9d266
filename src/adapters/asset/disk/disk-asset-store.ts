import type { Asset, AssetKey } from '../../../domain/asset.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Random } from '../../../lib/ids.ts';
import type { Logger } from '../../../lib/log.ts';
import type { AssetStore } from '../../../ports/asset-store.ts';
import { RecordFolder } from '../../segments/record-folder.ts';
import { textRecordKey } from '../../segments/record-key.ts';
import { decodeAsset, encodeAsset, hasExpired } from '../asset-record.ts';
import type { DiskAssetsConfiguration } from './disk-configuration.ts';

/** Assets in the segment files of a folder; see `RecordStore`. A damaged entry counts as not stored. */
export class DiskAssetStore implements AssetStore {
  readonly #folder: RecordFolder;
  readonly #clock: Clock;

  private constructor(folder: RecordFolder, clock: Clock) {
    this.#folder = folder;
    this.#clock = clock;
  }

  /** Opens the folder, or makes it. @throws DirectoryLockedError when another process has it. */
  static async open(
    configuration: Omit<DiskAssetsConfiguration, 'pushes' | 'fetch'>,
    dependencies: { readonly clock: Clock; readonly logger: Logger; readonly random: Random },
    signal: AbortSignal,
  ): Promise<DiskAssetStore> {
    return new DiskAssetStore(await RecordFolder.open(configuration, dependencies, signal), dependencies.clock);
  }

  /** Waits for what is being written and gives the folder free. No other call may follow. */
  close(): Promise<void> {
    return this.#folder.close();
  }

  async get(key: AssetKey, signal: AbortSignal): Promise<Asset | undefined> {
    signal.throwIfAborted();
    const encoded = await this.#folder.records.getIntact(textRecordKey(key));
    const asset = encoded === undefined ? undefined : decodeAsset(encoded);
    // What has expired is left to be replaced or evicted: removing it here could hit what was put in between.
    return asset === undefined || hasExpired(asset, this.#clock.now()) ? undefined : asset;
  }

  async put(key: AssetKey, asset: Asset, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#folder.records.put(textRecordKey(key), encodeAsset(asset));
  }

  async delete(key: AssetKey, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#folder.records.remove(textRecordKey(key));
  }
}
