import { ResumableUploads } from '../adapters/upload/resumable-uploads.ts';
import type { ReplicaConfiguration } from '../config/replica-configuration.ts';
import { CompletenessCheckingActionResults } from '../services/action-results.ts';
import { type Instance, Instances } from '../services/instances.ts';
import { type AssetBackend, openAssets } from './assets.ts';
import { openActionCache, openBlobStore, type StorageDependencies } from './blob-storage.ts';
import { type ActionCacheObserver, ObservedActionResults } from './observed-action-results.ts';

/** The storage of one replica, opened, as its instances see it. */
export interface StorageBackend {
  readonly instances: Instances;
  /** Undefined where the replica has no part in them. */
  readonly assets: AssetBackend | undefined;
  /** Bytes stored now. */
  storedBytes(): number;
  readonly maximumBytes: number;
  /** Lets what is under way reach its store, unless `force` is aborted. */
  close(force: AbortSignal): Promise<void>;
}

/** @throws DirectoryLockedError when another process has a folder; what was opened before is closed again. */
export async function openStorageBackend(
  configuration: ReplicaConfiguration,
  dependencies: StorageDependencies,
  actionCacheObserver: ActionCacheObserver,
  signal: AbortSignal,
): Promise<StorageBackend> {
  const store = await openBlobStore(configuration.blobs, dependencies, signal);
  const actionCache = await openActionCache(configuration.actionCache, dependencies, signal).catch(
    async (cause: unknown) => {
      await store.close(AbortSignal.abort());
      throw cause;
    },
  );
  const assets = await openAssetsOfRole(configuration, dependencies, signal).catch(async (cause: unknown) => {
    await actionCache.close();
    await store.close(AbortSignal.abort());
    throw cause;
  });
  const uploads = new ResumableUploads(store.blobs, dependencies.clock, {
    expiryMilliseconds: configuration.uploads.expirySeconds * 1_000,
    maximumPartialBytes: configuration.uploads.maximumPartialBytes,
    maximumPartialUploads: configuration.uploads.maximumPartialUploads,
  });
  const actionResults = new ObservedActionResults(
    new CompletenessCheckingActionResults(actionCache.store, store.blobs, dependencies.logger),
    actionCacheObserver,
  );
  const instances = configuration.instances.map(
    (each): Instance => ({
      name: each.name,
      blobs: store.blobs,
      pins: store.blobs,
      uploads,
      actionResults,
      actionCacheUpdateEnabled: each.actionCacheUpdates,
      executionEnabled: each.execution,
    }),
  );
  return {
    instances: new Instances(instances),
    assets,
    storedBytes: () => store.storedBytes(),
    maximumBytes: store.maximumBytes,
    async close(force) {
      await assets?.close();
      await uploads.close();
      await actionCache.close();
      await store.close(force);
    },
  };
}

async function openAssetsOfRole(
  configuration: ReplicaConfiguration,
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<AssetBackend | undefined> {
  return configuration.roles.includes('asset') ? openAssets(configuration, dependencies, signal) : undefined;
}
