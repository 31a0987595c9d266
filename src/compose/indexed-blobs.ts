import { IndexedBlobStore } from '../adapters/blob/indexed/indexed-blob-store.ts';
import type { IndexedBlobStoreConfiguration } from '../adapters/blob/indexed/indexed-configuration.ts';
import { IndexedMaintenance } from '../adapters/blob/indexed/indexed-maintenance.ts';
import type { BlobIndexConfiguration } from '../adapters/blob-index/blob-index-configuration.ts';
import { MemoryBlobIndex } from '../adapters/blob-index/memory/memory-blob-index.ts';
import { RedisBlobIndex } from '../adapters/blob-index/redis/redis-blob-index.ts';
import { redisConnectionOptions } from '../adapters/state/redis/redis-configuration.ts';
import { RedisConnection } from '../adapters/state/redis/redis-connection.ts';
import { type Clock, SteadyClock } from '../lib/clock.ts';
import type { IdGenerator, Random } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import type { BlobBackend } from '../ports/blob-backend.ts';
import type { BlobIndex } from '../ports/blob-index.ts';
import type { BlobListing } from '../ports/blob-listing.ts';
import type { StoreMaintenance } from '../ports/store-maintenance.ts';

export interface IndexedBlobsDependencies {
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly logger: Logger;
  readonly random: Random;
}

/** A store with its index, opened. */
export interface IndexedBlobs {
  readonly blobs: IndexedBlobStore;
  readonly maintenance: StoreMaintenance;
  readonly maximumBytes: number;
  storedBytes(): number;
  close(): Promise<void>;
}

/**
 * Puts an index beside a store. An index that lives no longer than the process is made anew from what the store lists, in
 * the background.
 */
export async function openIndexedBlobs(
  configuration: Omit<IndexedBlobStoreConfiguration<unknown>, 'store'>,
  inner: BlobBackend,
  listing: BlobListing | undefined,
  dependencies: IndexedBlobsDependencies,
  signal: AbortSignal,
): Promise<IndexedBlobs> {
  const { clock, logger } = dependencies;
  const opened = await openBlobIndex(configuration.index, dependencies, signal);
  const { index } = opened;
  const options = {
    maximum: {
      bytes: configuration.maximumSizeBytes,
      blobs: configuration.maximumCount ?? Number.POSITIVE_INFINITY,
    },
    highWatermark: configuration.highWatermark,
    lowWatermark: configuration.lowWatermark,
    minimumAgeMilliseconds: configuration.minimumAgeSeconds * 1_000,
  };
  const blobs = new IndexedBlobStore(inner, index, options, { clock, logger });
  const stop = new AbortController();
  let rebuilding: Promise<void> = Promise.resolve();
  const whenReady = () => rebuilding;
  const maintenance = new IndexedMaintenance(blobs, { clock, index, store: inner, listing, whenReady });
  if (configuration.index.kind === 'memory') rebuilding = rebuild(maintenance, logger, stop.signal);
  return {
    blobs,
    maintenance,
    maximumBytes: configuration.maximumSizeBytes,
    storedBytes: () => blobs.storedBytes,
    async close() {
      stop.abort();
      await rebuilding;
      await blobs.close();
      await opened.close();
    },
  };
}

async function rebuild(maintenance: StoreMaintenance, logger: Logger, signal: AbortSignal): Promise<void> {
  try {
    const { entries, bytes, listed } = await maintenance.rebuild(signal);
    if (listed) logger.info({ blobs: entries, bytes }, 'the index has what the store has');
    else logger.warn({}, 'the store cannot list what it has: the index begins empty, and clients upload anew');
  } catch (cause) {
    if (!signal.aborted) logger.error({ err: cause }, 'the index could not be made anew from the store');
  }
}

async function openBlobIndex(
  configuration: BlobIndexConfiguration,
  { clock, ids, logger, random }: IndexedBlobsDependencies,
  signal: AbortSignal,
): Promise<{ readonly index: BlobIndex; close(): Promise<void> }> {
  const times = { lease: configuration.leaseSeconds * 1_000, resolution: configuration.useResolutionSeconds * 1_000 };
  if (configuration.kind === 'memory') {
    const index = new MemoryBlobIndex({ ...times, clock: new SteadyClock(clock), seed: random() * 2 ** 32 });
    return { index, close: async () => {} };
  }
  const connection = new RedisConnection({
    ...(await redisConnectionOptions(configuration)),
    connectionName: `warren index ${ids.uuid()}`,
    random,
    logger: logger.child({ component: 'index' }),
  });
  await connection.start(signal);
  const { keyPrefix, name } = configuration;
  return { index: new RedisBlobIndex({ ...times, connection, keyPrefix, name }), close: () => connection.stop() };
}
