import { DiskBlobStore } from '../adapters/blob/disk/disk-blob-store.ts';
import { ExistenceCachingBlobStore } from '../adapters/blob/existence-caching-blob-store.ts';
import { JointBlobListing } from '../adapters/blob/joint-blob-listing.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { MirroredBlobStore } from '../adapters/blob/mirrored-blob-store.ts';
import { PlainBlobBackend } from '../adapters/blob/plain-blob-backend.ts';
import { ReadOnlyBlobStore } from '../adapters/blob/read-only-blob-store.ts';
import { RedisBlobStore } from '../adapters/blob/redis/redis-blob-store.ts';
import { RemoteBlobStore } from '../adapters/blob/remote/remote-blob-store.ts';
import type { RemoteBlobStoreConfiguration } from '../adapters/blob/remote/remote-configuration.ts';
import { S3BlobStore } from '../adapters/blob/s3/s3-blob-store.ts';
import { UnfinishedUploads } from '../adapters/blob/s3/unfinished-uploads.ts';
import { ShardedBlobStore } from '../adapters/blob/sharded-blob-store.ts';
import { SizeSplitBlobStore } from '../adapters/blob/size-split-blob-store.ts';
import { TieredBlobStore } from '../adapters/blob/tiered-blob-store.ts';
import type { TieredBlobStoreConfiguration } from '../adapters/blob/tiered-configuration.ts';
import { VerifyingBlobStore } from '../adapters/blob/verifying-blob-store.ts';
import { WriteBackJournal } from '../adapters/blob/write-back-journal.ts';
import { Retrier } from '../adapters/grpc-client/retrier.ts';
import { type BlobStoreConfiguration, partsOf } from '../config/blob-storage-schema.ts';
import { formatPath } from '../config/configuration-error.ts';
import type { Clock } from '../lib/clock.ts';
import type { IdGenerator, Random } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import type { BlobBackend } from '../ports/blob-backend.ts';
import type { BlobListing } from '../ports/blob-listing.ts';
import type { MaintainedStore, StoreCleaning } from '../ports/store-maintenance.ts';
import { openIndexedBlobs } from './indexed-blobs.ts';
import { openRemoteServer } from './remote-server.ts';
import { openRedis, openS3, redisEntries } from './shared-servers.ts';

export interface StorageDependencies {
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly logger: Logger;
  readonly random: Random;
  /** Hears how many blobs made room for others on this machine, and of how many bytes. Must not throw. */
  readonly onEvicted?: ((blobs: number, bytes: number) => void) | undefined;
}

/** An opened store of blobs, with all that it is put together from. */
export interface OpenedBlobStore {
  readonly blobs: BlobBackend;
  /** What the store has, where it can tell. */
  readonly listing?: BlobListing | undefined;
  /** Those of it and its parts that an operator can look after. */
  readonly maintained: readonly MaintainedStore[];
  /** Bytes stored now on this machine or under an index of ours; what other servers store is not counted. */
  storedBytes(): number;
  /** Blobs that wait for a slow store that gets them later. */
  pendingBlobs(): number;
  /** The most that there may be of them; 0 where everything is on other servers. */
  readonly maximumBytes: number;
  /** Lets what is under way end, unless `force` is aborted; closes all parts, the outer before the inner. */
  close(force: AbortSignal): Promise<void>;
}

/**
 * Opens the store that a configuration names, the innermost first. What was opened is closed again where one part fails.
 *
 * @param path where it is in the whole configuration.
 * @throws DirectoryLockedError when another process has a folder; ConfigurationError for a file that can't be read.
 */
export async function openBlobStore(
  configuration: BlobStoreConfiguration,
  path: readonly PropertyKey[],
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<OpenedBlobStore> {
  const parts: OpenedBlobStore[] = [];
  try {
    for (const part of partsOf(configuration)) {
      parts.push(await openBlobStore(part.store, [...path, ...part.path], dependencies, signal));
    }
    const own = await assemble(configuration, parts, dependencies, signal);
    // What is under an index counts once.
    const counted = configuration.kind === 'indexed' ? [] : parts;
    return {
      blobs: own.blobs,
      listing: own.listing,
      maintained: [
        ...(own.maintenance === undefined ? [] : [{ path: formatPath(path), maintenance: own.maintenance }]),
        ...parts.flatMap((part) => part.maintained),
      ],
      storedBytes: () => counted.reduce((sum, part) => sum + part.storedBytes(), own.storedBytes?.() ?? 0),
      pendingBlobs: () => parts.reduce((sum, part) => sum + part.pendingBlobs(), own.pendingBlobs?.() ?? 0),
      maximumBytes: counted.reduce((sum, part) => sum + part.maximumBytes, own.maximumBytes ?? 0),
      close: (force) => closeInTurn([() => own.close?.(force), ...closersOf(parts, force)]),
    };
  } catch (cause) {
    await closeInTurn(closersOf(parts, AbortSignal.abort())).catch((failure: unknown) => {
      dependencies.logger.warn({ err: failure }, 'a store could not be closed after a failed start');
    });
    throw cause;
  }
}

/** A store without its parts: what it adds to them. */
interface OwnPart {
  readonly blobs: BlobBackend;
  readonly listing?: BlobListing | undefined;
  readonly maintenance?: StoreCleaning;
  readonly storedBytes?: () => number;
  readonly pendingBlobs?: () => number;
  readonly maximumBytes?: number;
  readonly close?: (force: AbortSignal) => Promise<void> | void;
}

async function assemble(
  configuration: BlobStoreConfiguration,
  openedParts: readonly OpenedBlobStore[],
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<OwnPart> {
  const { clock, logger } = dependencies;
  const parts = openedParts.map(({ blobs }) => blobs);
  const part = (index: number) => parts[index] as BlobBackend;
  switch (configuration.kind) {
    case 'disk': {
      const blobs = await DiskBlobStore.open(configuration, dependencies, signal);
      const maximumBytes = configuration.maximumSizeBytes;
      const { maintenance } = blobs;
      return { blobs, maintenance, maximumBytes, storedBytes: () => blobs.usedBytes, close: () => blobs.close() };
    }
    case 'memory': {
      const maximumBytes = configuration.maximumSizeBytes;
      const blobs = new MemoryBlobStore(maximumBytes, dependencies.onEvicted);
      return { blobs, listing: blobs, maximumBytes, storedBytes: () => blobs.storedBytes };
    }
    case 'redis': {
      const connection = await openRedis(configuration, 'cache', dependencies, signal);
      const entries = redisEntries(connection, configuration, 'blob');
      const store = new RedisBlobStore(entries, configuration.maximumBlobBytes, logger);
      return { blobs: new PlainBlobBackend(store), listing: store, close: () => connection.stop() };
    }
    case 's3': {
      const objects = await openS3(configuration);
      const store = new S3BlobStore(objects, configuration, logger);
      const maximumAge = configuration.unfinishedUploadSeconds * 1_000;
      const leftovers = new UnfinishedUploads(objects, { ...configuration, maximumAge }, dependencies);
      const close = async () => {
        await leftovers.close();
        objects.close();
      };
      // Bytes that have been on another machine are hashed before anybody gets them.
      return { blobs: new VerifyingBlobStore(store, logger), listing: store, maintenance: leftovers, close };
    }
    case 'remote':
      return openRemoteBlobs(configuration, dependencies);
    case 'tiered': {
      const journal = await openJournal(configuration);
      const blobs = new TieredBlobStore(part(0), part(1), configuration, { ...dependencies, journal });
      return { blobs, pendingBlobs: () => blobs.pendingBlobs, close: (force) => blobs.close(force) };
    }
    case 'sharded': {
      const shards = configuration.shards.map(({ name, weight }, i) => ({ name, weight, store: part(i) }));
      return {
        blobs: new ShardedBlobStore(shards),
        listing: JointBlobListing.of(openedParts.map(({ listing }) => listing)),
      };
    }
    case 'mirrored': {
      const blobs = new MirroredBlobStore(parts, configuration.minimumCopies, logger);
      return { blobs, close: () => blobs.close() };
    }
    case 'size-split':
      return {
        blobs: new SizeSplitBlobStore(part(0), part(1), configuration.thresholdBytes),
        listing: JointBlobListing.of(openedParts.map(({ listing }) => listing)),
      };
    case 'verifying':
      return { blobs: new VerifyingBlobStore(part(0), logger), listing: openedParts[0]?.listing };
    case 'indexed':
      return openIndexedBlobs(configuration, part(0), openedParts[0]?.listing, dependencies, signal);
    case 'existence-cache': {
      const maximumStalenessMilliseconds = configuration.maximumStalenessSeconds * 1_000;
      const options = { maximumStalenessMilliseconds, maximumEntries: configuration.maximumEntries };
      return { blobs: new ExistenceCachingBlobStore(part(0), clock, options) };
    }
    case 'read-only':
      return { blobs: new ReadOnlyBlobStore(part(0)) };
  }
}

/** What waits for the slow store outlives the process where the fast one does: on a disk. */
async function openJournal({
  mode,
  fast,
}: TieredBlobStoreConfiguration<BlobStoreConfiguration>): Promise<WriteBackJournal | undefined> {
  if (mode !== 'write-back' || fast.kind !== 'disk') return undefined;
  return WriteBackJournal.open(fast.directory, fast.durability === 'sync');
}

async function openRemoteBlobs(
  configuration: RemoteBlobStoreConfiguration,
  { clock, ids, random }: StorageDependencies,
): Promise<OwnPart> {
  const channel = await openRemoteServer(configuration, clock);
  const retrier = new Retrier({ clock, random });
  const store = new RemoteBlobStore({ channel, instanceName: configuration.instance, retrier, ids });
  return { blobs: new PlainBlobBackend(store), close: () => channel.close() };
}

/** The last that was opened comes first. */
function closersOf(parts: readonly OpenedBlobStore[], force: AbortSignal): Array<() => Promise<void>> {
  return [...parts].reverse().map((part) => () => part.close(force));
}

/** Closes one after the other, also those behind one that fails. @throws the first failure. */
export async function closeInTurn(closers: ReadonlyArray<() => Promise<void> | void>): Promise<void> {
  const failures: unknown[] = [];
  for (const close of closers) {
    try {
      await close();
    } catch (cause) {
      failures.push(cause);
    }
  }
  if (failures.length > 0) throw failures[0];
}
