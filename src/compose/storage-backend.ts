import { ObservedBlobStore } from '../adapters/blob/observed-blob-store.ts';
import { type ActionCacheConfiguration, keepsResults } from '../config/action-cache-schema.ts';
import type { BlobStoreConfiguration } from '../config/blob-storage-schema.ts';
import type { ReplicaConfiguration } from '../config/replica-configuration.ts';
import type { MaintainedStore } from '../ports/store-maintenance.ts';
import { CompletenessCheckingActionResults } from '../services/action-results.ts';
import { type Instance, Instances } from '../services/instances.ts';
import { type OpenedActionCache, openActionCache } from './action-cache-storage.ts';
import { type AssetBackend, openAssets } from './assets.ts';
import { closeInTurn, type OpenedBlobStore, openBlobStore, type StorageDependencies } from './blob-storage.ts';
import { type ActionCacheObserver, ObservedActionResults } from './observed-action-results.ts';
import type { StorageObserver } from './replica-observer.ts';
import { type ClosableUploads, openUploads, type Uploads } from './uploads.ts';

/** The storage of one replica, opened, as its instances see it. */
export interface StorageBackend {
  readonly instances: Instances;
  /** Undefined where the replica has no part in them. */
  readonly assets: AssetBackend | undefined;
  /** All stores that have an index, those of single instances too. */
  readonly maintained: readonly MaintainedStore[];
  /** Bytes stored now. */
  storedBytes(): number;
  /** Blobs that wait for a slow store that gets them later. */
  pendingBlobs(): number;
  readonly maximumBytes: number;
  /** Lets what is under way reach its store, unless `force` is aborted. */
  close(force: AbortSignal): Promise<void>;
}

/** Blobs, and uploads into them. */
interface BlobStorage extends OpenedBlobStore {
  readonly uploads: ClosableUploads;
}

/** @throws DirectoryLockedError when another process has a folder; what was opened before is closed again. */
export async function openStorageBackend(
  configuration: ReplicaConfiguration,
  dependencies: StorageDependencies,
  observer: ActionCacheObserver & StorageObserver,
  signal: AbortSignal,
): Promise<StorageBackend> {
  const opening = new StorageOpening(configuration, dependencies, observer, signal);
  try {
    const uploads = await opening.uploads();
    const sharedBlobs = await opening.blobs(configuration.blobs, ['blobs'], uploads);
    const sharedResults = await opening.actionCache(configuration.actionCache, ['actionCache']);
    const instances: Instance[] = [];
    for (const [index, each] of configuration.instances.entries()) {
      const path = ['instances', index];
      const blobs =
        each.blobs === undefined ? sharedBlobs : await opening.blobs(each.blobs, [...path, 'blobs'], uploads);
      const actionCache =
        each.actionCache === undefined
          ? sharedResults
          : await opening.actionCache(each.actionCache, [...path, 'actionCache']);
      instances.push({
        name: each.name,
        blobs: blobs.blobs,
        pins: blobs.blobs,
        uploads: blobs.uploads,
        actionResults: new ObservedActionResults(
          new CompletenessCheckingActionResults(actionCache.store, blobs.blobs, dependencies.logger),
          observer,
        ),
        actionCacheUpdateEnabled:
          each.actionCacheUpdates && keepsResults(each.actionCache ?? configuration.actionCache),
        cacheFailedActions: each.cacheFailedActions,
        executionEnabled: each.execution,
      });
    }
    const assets = await opening.assets();
    const { stores } = opening;
    return {
      instances: new Instances(instances),
      assets,
      maintained: opening.maintained,
      storedBytes: () => stores.reduce((sum, store) => sum + store.storedBytes(), 0),
      pendingBlobs: () => stores.reduce((sum, store) => sum + store.pendingBlobs(), 0),
      maximumBytes: stores.reduce((sum, store) => sum + store.maximumBytes, 0),
      close: (force) => opening.close(force),
    };
  } catch (cause) {
    await opening.close(AbortSignal.abort()).catch((failure: unknown) => {
      dependencies.logger.warn({ err: failure }, 'storage could not be closed after a failed start');
    });
    throw cause;
  }
}

/** Opens one store after the other, and closes what it has opened, the last first. */
class StorageOpening {
  readonly stores: BlobStorage[] = [];
  readonly maintained: MaintainedStore[] = [];
  readonly #configuration: ReplicaConfiguration;
  readonly #dependencies: StorageDependencies;
  readonly #observer: StorageObserver;
  readonly #signal: AbortSignal;
  readonly #closers: Array<(force: AbortSignal) => Promise<void>> = [];

  constructor(
    configuration: ReplicaConfiguration,
    dependencies: StorageDependencies,
    observer: StorageObserver,
    signal: AbortSignal,
  ) {
    this.#configuration = configuration;
    this.#dependencies = {
      ...dependencies,
      onEvicted: (blobs, bytes) => observer.blobsEvicted(blobs, bytes),
    };
    this.#observer = observer;
    this.#signal = signal;
  }

  async uploads(): Promise<Uploads> {
    const uploads = await openUploads(this.#configuration.uploads, this.#dependencies, this.#signal);
    this.#closers.push(() => uploads.close());
    return uploads;
  }

  async blobs(
    configuration: BlobStoreConfiguration,
    path: readonly PropertyKey[],
    makeUploads: Uploads,
  ): Promise<BlobStorage> {
    const store = await openBlobStore(configuration, path, this.#dependencies, this.#signal);
    this.#closers.push((force) => store.close(force));
    const blobs =
      this.#configuration.console === undefined
        ? store.blobs
        : new ObservedBlobStore(store.blobs, this.#dependencies.clock, (call) => this.#observer.blobCalled(call));
    const uploads = makeUploads.into(blobs);
    this.#closers.push(() => uploads.close());
    this.maintained.push(...store.maintained);
    const storage = { ...store, blobs, uploads };
    this.stores.push(storage);
    return storage;
  }

  async actionCache(configuration: ActionCacheConfiguration, path: readonly PropertyKey[]): Promise<OpenedActionCache> {
    const opened = await openActionCache(configuration, path, this.#dependencies, this.#signal);
    this.#closers.push(() => opened.close());
    this.maintained.push(...opened.maintained);
    return opened;
  }

  async assets(): Promise<AssetBackend | undefined> {
    if (!this.#configuration.roles.includes('asset')) return undefined;
    const assets = await openAssets(this.#configuration, this.#dependencies, this.#signal);
    this.#closers.push(() => assets.close());
    return assets;
  }

  /** Closes everything, also behind what fails. @throws the first failure. */
  async close(force: AbortSignal): Promise<void> {
    await closeInTurn(
      this.#closers
        .splice(0)
        .reverse()
        .map((close) => () => close(force)),
    );
  }
}
