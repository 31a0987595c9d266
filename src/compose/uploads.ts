import { RedisPartialUploads } from '../adapters/upload/redis/redis-partial-uploads.ts';
import { ResumableUploads } from '../adapters/upload/resumable-uploads.ts';
import { SharedUploads } from '../adapters/upload/shared-uploads.ts';
import type { UploadsConfiguration } from '../adapters/upload/uploads-configuration.ts';
import type { BlobBackend } from '../ports/blob-backend.ts';
import type { UploadStore } from '../ports/upload-store.ts';
import type { StorageDependencies } from './blob-storage.ts';
import { openRedis } from './shared-servers.ts';

/** Uploads into one store. */
export interface ClosableUploads extends UploadStore {
  /** Ends those under way. */
  close(): Promise<void>;
}

/** Uploads of one replica. */
export interface Uploads {
  /** Uploads into a store. */
  into(blobs: BlobBackend): ClosableUploads;
  /** To be closed after all that it has made. */
  close(): Promise<void>;
}

/** Uploads as they are configured: those that replicas share, or those that end with the process. */
export async function openUploads(
  configuration: UploadsConfiguration,
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<Uploads> {
  const { clock, logger } = dependencies;
  const { shared, maximumPartialBytes, maximumPartialUploads } = configuration;
  const expiryMilliseconds = configuration.expirySeconds * 1_000;
  if (shared === undefined) {
    const options = { expiryMilliseconds, maximumPartialBytes, maximumPartialUploads };
    return { into: (blobs) => new ResumableUploads(blobs, clock, options), close: async () => {} };
  }
  const connection = await openRedis(shared, 'bounded', dependencies, signal);
  const partial = new RedisPartialUploads({
    connection,
    keyPrefix: shared.keyPrefix,
    expiryMilliseconds,
    maximumUploadBytes: shared.maximumUploadBytes,
    maximumBytes: shared.maximumBytes,
    maximumUploads: maximumPartialUploads,
  });
  return {
    into: (blobs) => new SharedUploads({ blobs, partial, clock, logger }),
    close: () => connection.stop(),
  };
}
