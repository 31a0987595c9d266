import { DiskActionCacheStore } from '../adapters/action-cache/disk/disk-action-cache-store.ts';
import { ExpiringActionCacheStore } from '../adapters/action-cache/expiring-action-cache-store.ts';
import { MemoryActionCacheStore } from '../adapters/action-cache/memory/memory-action-cache-store.ts';
import { ReadOnlyActionCacheStore } from '../adapters/action-cache/read-only-action-cache-store.ts';
import { RedisActionCacheStore } from '../adapters/action-cache/redis/redis-action-cache-store.ts';
import { RemoteActionCacheStore } from '../adapters/action-cache/remote/remote-action-cache-store.ts';
import { S3ActionCacheStore } from '../adapters/action-cache/s3/s3-action-cache-store.ts';
import { TieredActionCacheStore } from '../adapters/action-cache/tiered-action-cache-store.ts';
import { WriteOnceActionCacheStore } from '../adapters/action-cache/write-once-action-cache-store.ts';
import { Retrier } from '../adapters/grpc-client/retrier.ts';
import { ConditionalWrites } from '../adapters/s3/conditional-writes.ts';
import { type ActionCacheConfiguration, partsOfActionCache } from '../config/action-cache-schema.ts';
import { formatPath } from '../config/configuration-error.ts';
import type { ActionCacheStore } from '../ports/action-cache-store.ts';
import type { MaintainedStore, StoreMaintenance } from '../ports/store-maintenance.ts';
import { closeInTurn, type StorageDependencies } from './blob-storage.ts';
import { openRemoteServer } from './remote-server.ts';
import { openRedis, openS3, redisEntries } from './shared-servers.ts';

/** An opened action cache. */
export interface OpenedActionCache {
  readonly store: ActionCacheStore;
  /** Those of its parts that have an index of their own. */
  readonly maintained: readonly MaintainedStore[];
  /** Closes all parts, the outer before the inner. */
  close(): Promise<void>;
}

/**
 * Opens the action cache that a configuration names, the innermost first. What was opened is closed again where one part
 * fails.
 *
 * @param path where it is in the whole configuration.
 * @throws DirectoryLockedError when another process has a folder; ConfigurationError for a file that can't be read.
 */
export async function openActionCache(
  configuration: ActionCacheConfiguration,
  path: readonly PropertyKey[],
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<OpenedActionCache> {
  const parts: OpenedActionCache[] = [];
  const closeParts = () => closeInTurn([...parts].reverse().map((part) => () => part.close()));
  try {
    for (const part of partsOfActionCache(configuration)) {
      parts.push(await openActionCache(part.store, [...path, ...part.path], dependencies, signal));
    }
    const stores = parts.map(({ store }) => store);
    const own = await assemble(configuration, stores, dependencies, signal);
    const maintained = parts.flatMap((part) => part.maintained);
    if (own.maintenance !== undefined) maintained.unshift({ path: formatPath(path), maintenance: own.maintenance });
    return { store: own.store, maintained, close: () => closeInTurn([() => own.close?.(), closeParts]) };
  } catch (cause) {
    await closeParts().catch((failure: unknown) => {
      dependencies.logger.warn({ err: failure }, 'an action cache could not be closed after a failed start');
    });
    throw cause;
  }
}

/** An action cache without its parts: what it adds to them. */
interface OwnPart {
  readonly store: ActionCacheStore;
  readonly maintenance?: StoreMaintenance;
  readonly close?: () => Promise<void> | void;
}

async function assemble(
  configuration: ActionCacheConfiguration,
  parts: readonly ActionCacheStore[],
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<OwnPart> {
  const { clock, ids, random, logger } = dependencies;
  const part = (index: number) => parts[index] as ActionCacheStore;
  switch (configuration.kind) {
    case 'disk': {
      const store = await DiskActionCacheStore.open(configuration, dependencies, signal);
      return { store, maintenance: store.maintenance, close: () => store.close() };
    }
    case 'memory':
      return { store: new MemoryActionCacheStore(configuration.maximumSizeBytes) };
    case 'redis': {
      const connection = await openRedis(configuration, 'cache', dependencies, signal);
      const store = new RedisActionCacheStore(redisEntries(connection, configuration, 'result'));
      return { store, close: () => connection.stop() };
    }
    case 's3': {
      const objects = await openS3(configuration);
      const conditionalWrites = new ConditionalWrites(objects, configuration.keyPrefix, { ids, logger });
      return { store: new S3ActionCacheStore(objects, conditionalWrites, configuration), close: () => objects.close() };
    }
    case 'remote': {
      const channel = await openRemoteServer(configuration, clock);
      const retrier = new Retrier({ clock, random });
      const store = new RemoteActionCacheStore(channel, retrier, configuration.instance);
      return { store, close: () => channel.close() };
    }
    case 'tiered':
      return { store: new TieredActionCacheStore(part(0), part(1), logger) };
    case 'read-only':
      return { store: new ReadOnlyActionCacheStore(part(0)) };
    case 'write-once':
      return { store: new WriteOnceActionCacheStore(part(0)) };
    case 'expiring':
      return { store: new ExpiringActionCacheStore(part(0), clock, configuration.maximumAgeSeconds * 1_000) };
  }
}
