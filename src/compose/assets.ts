import { DiskAssetStore } from '../adapters/asset/disk/disk-asset-store.ts';
import { MemoryAssetStore } from '../adapters/asset/memory/memory-asset-store.ts';
import { RedisAssetStore } from '../adapters/asset/redis/redis-asset-store.ts';
import type { HttpOrigin, HttpOriginOptions } from '../adapters/origin/http-origin.ts';
import { OriginRules } from '../adapters/origin/origin-rules.ts';
import { redisConnectionOptions } from '../adapters/state/redis/redis-configuration.ts';
import { RedisConnection } from '../adapters/state/redis/redis-connection.ts';
import { type AssetsConfiguration, defaultAssets } from '../config/assets-schema.ts';
import { ConfigurationError } from '../config/configuration-error.ts';
import type { ReplicaConfiguration } from '../config/replica-configuration.ts';
import type { Digest } from '../domain/digest.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { AssetStore } from '../ports/asset-store.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { ArchiveRequest, Origin, OriginRequest } from '../ports/origin.ts';
import { Assets } from '../services/assets.ts';
import { OriginFetcher } from '../services/origin-fetcher.ts';
import { SharedDownloads } from '../services/shared-downloads.ts';
import type { StorageDependencies } from './blob-storage.ts';

/** What the Remote Asset API stands on, opened. */
export interface AssetBackend {
  readonly assets: Assets;
  /** Undefined where nothing is downloaded. */
  readonly origins: OriginFetcher | undefined;
  readonly pushesAllowed: boolean;
  /** To be started before calls come, and stopped when none runs any more. */
  readonly services: readonly Service[];
  close(): Promise<void>;
}

/** @throws DirectoryLockedError when another process has the folder; ConfigurationError where Redis is not configured. */
export async function openAssets(
  configuration: ReplicaConfiguration,
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<AssetBackend> {
  const settings = configuration.assets ?? defaultAssets(configuration.redis !== undefined);
  const opened = await openStore(settings, configuration, dependencies, signal);
  const { clock, ids, logger } = dependencies;
  const { enabled, timeoutSeconds, maximumTimeoutSeconds, maximumWaiting, ...fetch } = settings.fetch;
  const common = { assets: new Assets(opened.store, logger), pushesAllowed: settings.pushes };
  if (!enabled) return { ...common, origins: undefined, services: opened.services, close: () => opened.close() };
  const largest = configuration.limits.maxBlobSizeBytes || Number.POSITIVE_INFINITY;
  const maximumSizeBytes = Math.min(fetch.maximumSizeBytes, largest);
  const origin = new LazyOrigin({ ...fetch, maximumSizeBytes, ids, clock, logger });
  const downloads = new SharedDownloads<Digest>(clock, maximumWaiting);
  const origins = new OriginFetcher({
    origin,
    downloads,
    clock,
    defaultTimeout: timeoutSeconds * 1_000,
    maximumTimeout: maximumTimeoutSeconds * 1_000,
  });
  return {
    ...common,
    origins,
    services: [...opened.services, downloads],
    async close() {
      await origin.close();
      await opened.close();
    },
  };
}

/** Loads what downloads with the first download: many starts need none of it. */
class LazyOrigin implements Origin {
  readonly #options: HttpOriginOptions;
  readonly #rules: OriginRules;
  #loading: Promise<HttpOrigin> | undefined;

  constructor(options: HttpOriginOptions) {
    this.#options = options;
    this.#rules = new OriginRules(options.schemes, options.allowedHosts);
  }

  serves(uri: string): boolean {
    return this.#rules.serves(uri);
  }

  async download(request: OriginRequest, blobs: BlobStore, signal: AbortSignal): Promise<Digest> {
    return (await this.#load()).download(request, blobs, signal);
  }

  async unpack(request: ArchiveRequest, blobs: BlobStore, signal: AbortSignal): Promise<Digest> {
    return (await this.#load()).unpack(request, blobs, signal);
  }

  async close(): Promise<void> {
    await (await this.#loading)?.close();
  }

  #load(): Promise<HttpOrigin> {
    this.#loading ??= import('../adapters/origin/http-origin.ts').then(
      (loaded) => new loaded.HttpOrigin(this.#options),
    );
    return this.#loading;
  }
}

interface OpenedStore {
  readonly store: AssetStore;
  readonly services: readonly Service[];
  close(): Promise<void>;
}

async function openStore(
  settings: AssetsConfiguration,
  { redis }: ReplicaConfiguration,
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<OpenedStore> {
  const { clock, ids, logger, random } = dependencies;
  const nothing = async () => {};
  switch (settings.kind) {
    case 'disk': {
      const store = await DiskAssetStore.open(settings, dependencies, signal);
      return { store, services: [], close: () => store.close() };
    }
    case 'memory':
      return { store: new MemoryAssetStore(settings.maximumSizeBytes, clock), services: [], close: nothing };
    case 'redis': {
      if (redis === undefined) {
        throw new ConfigurationError('assets', [
          { path: 'redis', message: 'is needed where assets are kept in Redis' },
        ]);
      }
      const connection = new RedisConnection({
        ...(await redisConnectionOptions(redis)),
        connectionName: `warren assets ${ids.uuid()}`,
        random,
        logger: logger.child({ component: 'redis' }),
      });
      const store = new RedisAssetStore({
        connection,
        keyPrefix: redis.keyPrefix,
        maximumAssets: settings.maximumAssets,
        retention: settings.retentionSeconds * 1_000,
      });
      return { store, services: [connection], close: nothing };
    }
  }
}
