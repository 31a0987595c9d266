/**
 * The greatest total size in bytes of the blobs of one batch: the 4 MiB that a gRPC client takes in one message, less
 * 64 KiB for digests, statuses and framing. It is also where clients put the line between batches and streams.
 */
export const DEFAULT_MAX_BATCH_TOTAL_BYTES = 4 * 1024 * 1024 - 64 * 1024;
