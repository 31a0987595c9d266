import type { Compressor } from '../domain/compressor.ts';
import { type DigestFunction, inferDigestFunction } from '../domain/digest-function.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type { Compression } from '../lib/compression.ts';
import type { Logger } from '../lib/log.ts';
import type { CallContext } from '../ports/call-context.ts';
import {
  type BatchReadBlobsRequest,
  type BatchReadBlobsResponse,
  type BatchUpdateBlobsRequest,
  type BatchUpdateBlobsResponse,
  ChunkingFunction_Value,
  type FindMissingBlobsRequest,
  type FindMissingBlobsResponse,
  type GetTreeRequest,
  type GetTreeResponse,
  type SpliceBlobRequest,
  type SpliceBlobResponse,
  type SplitBlobRequest,
  type SplitBlobResponse,
  type Digest as WireDigest,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestFunctionFromWire, digestsFromWire, digestToWire } from '../wire/digest.ts';
import { DEFAULT_MAX_BATCH_TOTAL_BYTES } from './batch-limits.ts';
import { BatchReader } from './batch-reader.ts';
import { BatchWriter } from './batch-writer.ts';
import { spliceChunks, splitIntoChunks } from './blob-chunks.ts';
import type { Instances } from './instances.ts';
import { type TreePageLimits, treePages } from './tree-pages.ts';

export interface ContentAddressableStorageOptions extends TreePageLimits {
  /** Total size of the blobs of one batch, in bytes. Advertised. Defaults to 4 MiB - 64 KiB. */
  readonly maxBatchTotalBytes?: number;
  /** The largest blob that may be uploaded, in bytes; advertised. Defaults to 0: no limit. */
  readonly maxBlobSizeBytes?: number;
  /** The formats in which blobs of batches may travel beside plain bytes. Defaults to none. */
  readonly compressions?: ReadonlyMap<Compressor, Compression>;
}

/** The service ContentAddressableStorage: which blobs are there, small blobs in batches, and whole trees. */
export class ContentAddressableStorage {
  readonly #instances: Instances;
  readonly #writer: BatchWriter;
  readonly #reader: BatchReader;
  readonly #treePageLimits: TreePageLimits;
  readonly #maxBlobSizeBytes: number;

  constructor(instances: Instances, logger: Logger, options: ContentAddressableStorageOptions = {}) {
    const {
      maxBatchTotalBytes = DEFAULT_MAX_BATCH_TOTAL_BYTES,
      maxBlobSizeBytes = 0,
      compressions = new Map(),
    } = options;
    this.#instances = instances;
    this.#writer = new BatchWriter(logger, { maxBatchTotalBytes, maxBlobSizeBytes, compressions });
    this.#reader = new BatchReader(logger, { maxBatchTotalBytes, compressions });
    this.#treePageLimits = options;
    this.#maxBlobSizeBytes = maxBlobSizeBytes;
  }

  /** Asks the index once for all digests, which extends the lives of those that are there. */
  async findMissingBlobs(request: FindMissingBlobsRequest, context: CallContext): Promise<FindMissingBlobsResponse> {
    const { blobs } = this.#instances.get(request.instanceName);
    const digestFunction = digestFunctionFromWire(request.digestFunction, request.blobDigests[0]?.hash);
    const digests = digestsFromWire(request.blobDigests, digestFunction, 'blob_digests');
    const missing = await blobs.findMissing(digests, context.signal);
    return { missingBlobDigests: missing.map(digestToWire) };
  }

  /** @throws INVALID_ARGUMENT when the batch is larger than advertised. What concerns one blob stands in its answer. */
  async batchUpdateBlobs(request: BatchUpdateBlobsRequest, context: CallContext): Promise<BatchUpdateBlobsResponse> {
    const { blobs } = this.#instances.get(request.instanceName);
    const digestFunction = batchFunction(
      request.digestFunction,
      request.requests.map((each) => each.digest),
    );
    return { responses: await this.#writer.write(request.requests, digestFunction, blobs, context.signal) };
  }

  /** @throws INVALID_ARGUMENT when the batch is larger than advertised. What concerns one blob stands in its answer. */
  async batchReadBlobs(request: BatchReadBlobsRequest, context: CallContext): Promise<BatchReadBlobsResponse> {
    const { blobs } = this.#instances.get(request.instanceName);
    const digestFunction = batchFunction(request.digestFunction, request.digests);
    const { digests, acceptableCompressors } = request;
    return {
      responses: await this.#reader.read(digests, acceptableCompressors, digestFunction, blobs, context.signal),
    };
  }

  /** @throws NOT_FOUND when the root is missing; what is missing below it is left out, as the protocol has it. */
  async *getTree(request: GetTreeRequest, context: CallContext): AsyncIterable<GetTreeResponse> {
    const { blobs } = this.#instances.get(request.instanceName);
    const digestFunction = digestFunctionFromWire(request.digestFunction, request.rootDigest?.hash);
    const root = digestFromWire(request.rootDigest, digestFunction, 'root_digest');
    yield* treePages(blobs, root, request.pageSize, request.pageToken, context.signal, this.#treePageLimits);
  }

  /** Stores the chunks of a blob, cut as the client prefers: by RepMaxCDC, else by FastCDC 2020. @throws NOT_FOUND. */
  async splitBlob(request: SplitBlobRequest, context: CallContext): Promise<SplitBlobResponse> {
    const { blobs } = this.#instances.get(request.instanceName);
    const digestFunction = digestFunctionFromWire(request.digestFunction, request.blobDigest?.hash);
    const digest = digestFromWire(request.blobDigest, digestFunction, 'blob_digest');
    const { FAST_CDC_2020, REP_MAX_CDC } = ChunkingFunction_Value;
    const isRepMax = request.chunkingFunction === REP_MAX_CDC;
    const name = isRepMax ? 'rep-max-cdc' : 'fast-cdc-2020';
    const chunks = await splitIntoChunks(blobs, digest, name, context.signal);
    return { chunkDigests: chunks.map(digestToWire), chunkingFunction: isRepMax ? REP_MAX_CDC : FAST_CDC_2020 };
  }

  /**
   * Stores the blob that chunks make, wherever they were cut. The lives of the chunks are extended.
   *
   * @throws NOT_FOUND when a chunk is missing; INVALID_ARGUMENT when the chunks make another blob, or one that is too
   *   large; RESOURCE_EXHAUSTED.
   */
  async spliceBlob(request: SpliceBlobRequest, context: CallContext): Promise<SpliceBlobResponse> {
    const { blobs } = this.#instances.get(request.instanceName);
    const digestFunction = digestFunctionFromWire(request.digestFunction, request.blobDigest?.hash);
    const digest = digestFromWire(request.blobDigest, digestFunction, 'blob_digest');
    const chunks = digestsFromWire(request.chunkDigests, digestFunction, 'chunk_digests');
    if (this.#maxBlobSizeBytes > 0 && digest.sizeBytes > this.#maxBlobSizeBytes) {
      throw invalidArgument('blob_digest.size_bytes', `a blob may have ${this.#maxBlobSizeBytes} bytes at most`);
    }
    await spliceChunks(blobs, digest, chunks, context.signal);
    return { blobDigest: digestToWire(digest) };
  }
}

/** Told by the first digest that tells it: a malformed one must not spoil the batch for the others. */
function batchFunction(value: number, digests: ReadonlyArray<WireDigest | undefined>): DigestFunction {
  const telling = digests.find((each) => each !== undefined && inferDigestFunction(each.hash.length) !== undefined);
  return digestFunctionFromWire(value, (telling ?? digests[0])?.hash);
}
