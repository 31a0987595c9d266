import { z } from 'zod';
import { type DiskBlobStoreConfiguration, diskBlobStoreSchema } from '../adapters/blob/disk/disk-configuration.ts';
import {
  type ExistenceCacheConfiguration,
  existenceCacheSchema,
} from '../adapters/blob/existence-cache-configuration.ts';
import {
  type IndexedBlobStoreConfiguration,
  indexedBlobStoreSchema,
} from '../adapters/blob/indexed/indexed-configuration.ts';
import {
  type MemoryBlobStoreConfiguration,
  memoryBlobStoreSchema,
} from '../adapters/blob/memory/memory-configuration.ts';
import {
  type MirroredBlobStoreConfiguration,
  mirroredBlobStoreSchema,
} from '../adapters/blob/mirrored-configuration.ts';
import {
  type ReadOnlyBlobStoreConfiguration,
  readOnlyBlobStoreSchema,
} from '../adapters/blob/read-only-configuration.ts';
import { type RedisBlobStoreConfiguration, redisBlobStoreSchema } from '../adapters/blob/redis/redis-configuration.ts';
import {
  type RemoteBlobStoreConfiguration,
  remoteBlobStoreSchema,
} from '../adapters/blob/remote/remote-configuration.ts';
import { type S3BlobStoreConfiguration, s3BlobStoreSchema } from '../adapters/blob/s3/s3-configuration.ts';
import { type ShardedBlobStoreConfiguration, shardedBlobStoreSchema } from '../adapters/blob/sharded-configuration.ts';
import {
  type SizeSplitBlobStoreConfiguration,
  sizeSplitBlobStoreSchema,
} from '../adapters/blob/size-split-configuration.ts';
import { type TieredBlobStoreConfiguration, tieredBlobStoreSchema } from '../adapters/blob/tiered-configuration.ts';
import {
  type VerifyingBlobStoreConfiguration,
  verifyingBlobStoreSchema,
} from '../adapters/blob/verifying-configuration.ts';

/** Where blobs are kept: a store, or stores put together, to any depth. */
export type BlobStoreConfiguration =
  | DiskBlobStoreConfiguration
  | MemoryBlobStoreConfiguration
  | RedisBlobStoreConfiguration
  | S3BlobStoreConfiguration
  | RemoteBlobStoreConfiguration
  | TieredBlobStoreConfiguration<BlobStoreConfiguration>
  | ShardedBlobStoreConfiguration<BlobStoreConfiguration>
  | MirroredBlobStoreConfiguration<BlobStoreConfiguration>
  | SizeSplitBlobStoreConfiguration<BlobStoreConfiguration>
  | VerifyingBlobStoreConfiguration<BlobStoreConfiguration>
  | ExistenceCacheConfiguration<BlobStoreConfiguration>
  | IndexedBlobStoreConfiguration<BlobStoreConfiguration>
  | ReadOnlyBlobStoreConfiguration<BlobStoreConfiguration>;

const anyStore: z.ZodType<BlobStoreConfiguration> = z.lazy(() => blobStoreSchema);

/** Each adapter, composition and decorator brings its own piece. */
export const blobStoreSchema: z.ZodType<BlobStoreConfiguration> = z.discriminatedUnion('kind', [
  diskBlobStoreSchema,
  memoryBlobStoreSchema,
  redisBlobStoreSchema,
  s3BlobStoreSchema,
  remoteBlobStoreSchema,
  tieredBlobStoreSchema(anyStore),
  shardedBlobStoreSchema(anyStore),
  mirroredBlobStoreSchema(anyStore),
  sizeSplitBlobStoreSchema(anyStore).check(checkSmallIsTaken),
  verifyingBlobStoreSchema(anyStore),
  existenceCacheSchema(anyStore).check(checkStaleness),
  indexedBlobStoreSchema(anyStore).check(checkEvictable),
  readOnlyBlobStoreSchema(anyStore),
]);

/** The stores that another is put together from, each with its path in that one's configuration. */
export function partsOf(
  configuration: BlobStoreConfiguration,
): ReadonlyArray<{ readonly path: readonly PropertyKey[]; readonly store: BlobStoreConfiguration }> {
  switch (configuration.kind) {
    case 'disk':
    case 'memory':
    case 'redis':
    case 's3':
    case 'remote':
      return [];
    case 'tiered':
      return [
        { path: ['fast'], store: configuration.fast },
        { path: ['slow'], store: configuration.slow },
      ];
    case 'sharded':
      return configuration.shards.map(({ store }, index) => ({ path: ['shards', index, 'store'], store }));
    case 'mirrored':
      return configuration.mirrors.map((store, index) => ({ path: ['mirrors', index], store }));
    case 'size-split':
      return [
        { path: ['small'], store: configuration.small },
        { path: ['large'], store: configuration.large },
      ];
    case 'verifying':
    case 'existence-cache':
    case 'indexed':
    case 'read-only':
      return [{ path: ['store'], store: configuration.store }];
  }
}

/** A store must not evict what an existence cache in front of it still promises. */
function checkStaleness(context: z.core.ParsePayload<ExistenceCacheConfiguration<BlobStoreConfiguration>>): void {
  const seconds = context.value.maximumStalenessSeconds;
  const kept = timeKept(context.value.store);
  if (seconds < kept) return;
  context.issues.push({
    code: 'custom',
    input: seconds,
    path: ['maximumStalenessSeconds'],
    message: `must be less than ${kept} s, for which what was used is kept from eviction in the store behind`,
  });
}

/** An index can only evict where blobs can be deleted. */
function checkEvictable(context: z.core.ParsePayload<IndexedBlobStoreConfiguration<BlobStoreConfiguration>>): void {
  const undeletable = (store: BlobStoreConfiguration): string | undefined => {
    if (store.kind === 'remote' || store.kind === 'read-only') return store.kind;
    return partsOf(store).flatMap((part) => undeletable(part.store) ?? [])[0];
  };
  const kind = undeletable(context.value.store);
  if (kind === undefined) return;
  context.issues.push({
    code: 'custom',
    input: kind,
    path: ['store'],
    message: `has a part of kind '${kind}', from which nothing can be deleted, so that no index can evict from it`,
  });
}

/** For how many seconds a store keeps what was used at least, as far as its configuration tells. */
function timeKept(store: BlobStoreConfiguration): number {
  if (store.kind === 'disk' || store.kind === 'indexed') return store.minimumAgeSeconds;
  if (store.kind === 'memory') return 0;
  if (store.kind === 'redis') return store.unusedSeconds;
  // The slow tier has what the fast one drops.
  if (store.kind === 'tiered') return timeKept(store.slow);
  return Math.min(...partsOf(store).map((part) => timeKept(part.store)));
}

/** Every blob that counts as small must fit into the store for small ones. */
function checkSmallIsTaken(
  context: z.core.ParsePayload<SizeSplitBlobStoreConfiguration<BlobStoreConfiguration>>,
): void {
  const { small, thresholdBytes } = context.value;
  const largest = largestBlob(small);
  if (thresholdBytes <= largest) return;
  context.issues.push({
    code: 'custom',
    input: thresholdBytes,
    path: ['thresholdBytes'],
    message: `must be at most ${largest}, the largest blob that the store for small ones takes`,
  });
}

/** The largest blob that a store takes, in bytes, as far as its configuration tells. */
function largestBlob(store: BlobStoreConfiguration): number {
  if (store.kind === 'redis') return store.maximumBlobBytes;
  // The slow tier alone has to take it, the larger half of a split as well.
  if (store.kind === 'tiered') return largestBlob(store.mode === 'write-back' ? store.fast : store.slow);
  if (store.kind === 'size-split') return largestBlob(store.large);
  return Math.min(...partsOf(store).map((part) => largestBlob(part.store)));
}
