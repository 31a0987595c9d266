import type { Compressor } from '../domain/compressor.ts';
import { type Digest, digestKey, isEmptyDigest } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import { invalidArgument } from '../domain/status-error.ts';
import { type Compression, CompressionError } from '../lib/compression.ts';
import type { Logger } from '../lib/log.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type {
  BatchUpdateBlobsRequest_Request as BlobRequest,
  BatchUpdateBlobsResponse_Response as BlobResponse,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Status } from '../proto/google/rpc/status.ts';
import { compressorFromWire } from '../wire/compressor.ts';
import { digestFromWire } from '../wire/digest.ts';
import { OK_STATUS } from '../wire/status.ts';
import { blobStatus } from './blob-status.ts';

export interface BatchWriterOptions {
  readonly maxBatchTotalBytes: number;
  /** 0 for no limit. */
  readonly maxBlobSizeBytes: number;
  readonly compressions: ReadonlyMap<Compressor, Compression>;
}

/** BatchUpdateBlobs: each blob on its own, all at once, so that a store can commit them as one group. */
export class BatchWriter {
  readonly #logger: Logger;
  readonly #options: BatchWriterOptions;

  constructor(logger: Logger, options: BatchWriterOptions) {
    this.#logger = logger;
    this.#options = options;
  }

  /** @throws INVALID_ARGUMENT when the blobs are larger together than one batch may be. */
  async write(
    requests: readonly BlobRequest[],
    digestFunction: DigestFunction,
    blobs: BlobStore,
    signal: AbortSignal,
  ): Promise<BlobResponse[]> {
    this.#checkTotal(requests);
    // One blob twice in a batch is written once; with other bytes it fails on its own.
    const started = new Map<string, { data: Uint8Array; status: Promise<Status> }>();
    const write = (request: BlobRequest): Promise<Status> => {
      try {
        const digest = digestFromWire(request.digest, digestFunction, 'digest');
        const key = request.compressor === 0 ? digestKey(digest) : `${request.compressor} ${digestKey(digest)}`;
        const same = started.get(key);
        if (same !== undefined && sameBytes(same.data, request.data)) return same.status;
        const status = this.#writeOne(request, digest, blobs, signal).then(
          () => OK_STATUS,
          (thrown: unknown) => blobStatus(thrown, this.#logger, signal),
        );
        if (same === undefined) started.set(key, { data: request.data, status });
        return status;
      } catch (thrown) {
        return Promise.resolve(blobStatus(thrown, this.#logger, signal));
      }
    };
    const statuses = await Promise.all(requests.map(write));
    return statuses.map((status, index) => ({ digest: requests[index]?.digest, status }));
  }

  #writeOne(request: BlobRequest, digest: Digest, blobs: BlobStore, signal: AbortSignal): Promise<void> {
    const { maxBlobSizeBytes } = this.#options;
    if (maxBlobSizeBytes > 0 && digest.sizeBytes > maxBlobSizeBytes) {
      throw invalidArgument('digest.size_bytes', `blobs may have ${maxBlobSizeBytes} bytes here`);
    }
    if (request.compressor !== 0) return this.#writeCompressed(request, digest, blobs, signal);
    checkLength(request.data, digest);
    return isEmptyDigest(digest) ? Promise.resolve() : blobs.write(digest, request.data, signal);
  }

  async #writeCompressed(request: BlobRequest, digest: Digest, blobs: BlobStore, signal: AbortSignal): Promise<void> {
    const compressor = compressorFromWire(request.compressor);
    const compression = compressor === undefined ? undefined : this.#options.compressions.get(compressor);
    if (compression === undefined) {
      const served = ['identity', ...this.#options.compressions.keys()].join(', ');
      throw invalidArgument('compressor', `${compressor ?? request.compressor} is not served; served are ${served}`);
    }
    const data = await compression.decompress(request.data, digest.sizeBytes, signal).catch((thrown: unknown) => {
      throw thrown instanceof CompressionError ? invalidArgument('data', thrown.message) : thrown;
    });
    checkLength(data, digest);
    if (!isEmptyDigest(digest)) await blobs.write(digest, data, signal);
  }

  /** Counts what a blob unpacks to as well: a batch must not be a way around its own limit. */
  #checkTotal(requests: readonly BlobRequest[]): void {
    let total = 0;
    for (const { data, digest, compressor } of requests) {
      total += compressor === 0 ? data.byteLength : Math.max(data.byteLength, Number(digest?.sizeBytes ?? 0n));
    }
    const { maxBatchTotalBytes } = this.#options;
    if (total > maxBatchTotalBytes) {
      throw invalidArgument(
        'requests',
        `the blobs have ${total} bytes together; a batch may have ${maxBatchTotalBytes}. Use ByteStream.Write`,
      );
    }
  }
}

function checkLength(data: Uint8Array, digest: Digest): void {
  if (data.byteLength !== digest.sizeBytes) {
    throw invalidArgument('data', `has ${data.byteLength} bytes, not the ${digest.sizeBytes} of its digest`);
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
