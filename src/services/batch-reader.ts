import type { Compressor } from '../domain/compressor.ts';
import { createDigest, type Digest, digestKey, isEmptyDigest } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type { Compression } from '../lib/compression.ts';
import type { Logger } from '../lib/log.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import {
  type BatchReadBlobsResponse_Response as BlobResponse,
  Compressor_Value,
  type Digest as WireDigest,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { compressorFromWire, compressorToWire } from '../wire/compressor.ts';
import { OK_STATUS } from '../wire/status.ts';
import { blobStatus } from './blob-status.ts';

export interface BatchReaderOptions {
  readonly maxBatchTotalBytes: number;
  readonly compressions: ReadonlyMap<Compressor, Compression>;
}

/** Smaller blobs gain nothing by compression: they fit into one packet with their digest. */
const LEAST_COMPRESSED_BYTES = 1_024;

type Contents = Pick<BlobResponse, 'data' | 'compressor' | 'status'>;

/** BatchReadBlobs: each blob on its own, all at once. */
export class BatchReader {
  readonly #logger: Logger;
  readonly #options: BatchReaderOptions;

  constructor(logger: Logger, options: BatchReaderOptions) {
    this.#logger = logger;
    this.#options = options;
  }

  /**
   * An answer for each digest in the order given, also where one comes twice.
   *
   * @param acceptable Compressor.Value of what the client takes.
   * @throws INVALID_ARGUMENT when the blobs are larger together than one batch may be.
   */
  async read(
    wires: readonly WireDigest[],
    acceptable: readonly number[],
    digestFunction: DigestFunction,
    blobs: BlobStore,
    signal: AbortSignal,
  ): Promise<BlobResponse[]> {
    this.#checkTotal(wires);
    const chosen = this.#choose(acceptable);
    const started = new Map<string, Promise<Contents>>();
    const read = (wire: WireDigest): Promise<Contents> => {
      try {
        const digest = createDigest(digestFunction, wire.hash, wire.sizeBytes);
        const key = digestKey(digest);
        let contents = started.get(key);
        if (contents === undefined) {
          contents = this.#readOne(digest, chosen, blobs, signal);
          started.set(key, contents);
        }
        return contents;
      } catch (thrown) {
        return Promise.resolve(this.#failed(thrown, signal));
      }
    };
    const all = await Promise.all(wires.map(read));
    return all.map((contents, index) => ({ digest: wires[index], ...contents }));
  }

  async #readOne(
    digest: Digest,
    chosen: { compressor: Compressor; compression: Compression } | undefined,
    blobs: BlobStore,
    signal: AbortSignal,
  ): Promise<Contents> {
    try {
      const plain = isEmptyDigest(digest) ? new Uint8Array(0) : await blobs.readWhole(digest, signal);
      if (chosen !== undefined && plain.byteLength >= LEAST_COMPRESSED_BYTES) {
        const packed = await chosen.compression.compress(plain, signal);
        if (packed.byteLength < plain.byteLength) {
          return { data: asBuffer(packed), compressor: compressorToWire(chosen.compressor), status: OK_STATUS };
        }
      }
      return { data: asBuffer(plain), compressor: Compressor_Value.IDENTITY, status: OK_STATUS };
    } catch (thrown) {
      return this.#failed(thrown, signal);
    }
  }

  #failed(thrown: unknown, signal: AbortSignal): Contents {
    const status = blobStatus(thrown, this.#logger, signal);
    return { data: Buffer.alloc(0), compressor: Compressor_Value.IDENTITY, status };
  }

  /** The first that both sides have, in our order. */
  #choose(acceptable: readonly number[]): { compressor: Compressor; compression: Compression } | undefined {
    const taken = new Set(acceptable.map(compressorFromWire));
    for (const [compressor, compression] of this.#options.compressions) {
      if (taken.has(compressor)) return { compressor, compression };
    }
    return undefined;
  }

  #checkTotal(wires: readonly WireDigest[]): void {
    let total = 0;
    for (const { sizeBytes } of wires) total += Math.max(Number(sizeBytes), 0);
    const { maxBatchTotalBytes } = this.#options;
    if (total > maxBatchTotalBytes) {
      throw invalidArgument(
        'digests',
        `the blobs have ${total} bytes together; a batch may have ${maxBatchTotalBytes}. Use ByteStream.Read`,
      );
    }
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
