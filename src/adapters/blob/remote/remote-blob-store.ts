import { type Digest, digestKey, isEmptyDigest } from '../../../domain/digest.ts';
import type { DigestFunction } from '../../../domain/digest-function.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { invalidArgument, StatusError } from '../../../domain/status-error.ts';
import type { IdGenerator } from '../../../lib/ids.ts';
import { mapConcurrently } from '../../../lib/semaphore.ts';
import type { BlobStore, ByteRange, RereadableSource } from '../../../ports/blob-store.ts';
import { ContentAddressableStorageService } from '../../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestFunctionToWire, digestToWire } from '../../../wire/digest.ts';
import type { GrpcChannel } from '../../grpc-client/grpc-channel.ts';
import type { Retrier } from '../../grpc-client/retrier.ts';
import { collectBlob } from '../collect-blob.ts';
import { endOfRange } from '../ranges.ts';
import { BatchTransfers } from './batch-transfers.ts';
import { ServerLimits } from './server-limits.ts';
import { fromBytes, StreamTransfers } from './stream-transfers.ts';

export interface RemoteBlobStoreOptions {
  readonly channel: GrpcChannel;
  /** The instance on the server whose storage this is. */
  readonly instanceName: string;
  readonly retrier: Retrier;
  readonly ids: IdGenerator;
  /**
   * Blobs up to this many bytes go in batches, larger ones by a stream of their own. Defaults to 512 KiB, and is never
   * more than the server's limit for a batch.
   */
  readonly maxBatchedBlobBytes?: number;
}

const DEFAULT_MAX_BATCHED_BLOB_BYTES = 512 * 1024;
/** Some 75 bytes each: well below the 4 MiB that any server takes in a message. */
const DIGESTS_PER_REQUEST = 20_000;
const CONCURRENT_LOOKUPS = 4;

/**
 * The storage of another server, by ContentAddressableStorage and ByteStream.
 *
 * Small blobs that are asked for at the same time share one call. A broken connection costs a wait and what was on the
 * wire: calls are made again, streams go on where they were. What is downloaded whole is checked against its digest.
 */
export class RemoteBlobStore implements BlobStore {
  readonly #options: RemoteBlobStoreOptions;
  readonly #limits: ServerLimits;
  readonly #batches: BatchTransfers;
  readonly #streams: StreamTransfers;

  constructor(options: RemoteBlobStoreOptions) {
    const { channel, instanceName, retrier, ids } = options;
    this.#options = options;
    this.#limits = new ServerLimits(channel, instanceName, retrier);
    this.#batches = new BatchTransfers(channel, instanceName, retrier, this.#limits);
    this.#streams = new StreamTransfers(channel, instanceName, retrier, ids);
  }

  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const asked = new Map<string, Digest>();
    for (const digest of digests) if (!isEmptyDigest(digest)) asked.set(digestKey(digest), digest);
    const missing = new Set<string>();
    await mapConcurrently(requestsOf([...asked.values()]), CONCURRENT_LOOKUPS, signal, async (each) => {
      for (const digest of await this.#findMissing(each.digestFunction, each.digests, signal)) {
        missing.add(digestKey(digest));
      }
    });
    return [...asked].filter(([key]) => missing.has(key)).map(([, digest]) => digest);
  }

  async #findMissing(
    digestFunction: DigestFunction,
    digests: readonly Digest[],
    signal: AbortSignal,
  ): Promise<Digest[]> {
    const request = {
      instanceName: this.#options.instanceName,
      blobDigests: digests.map(digestToWire),
      digestFunction: digestFunctionToWire(digestFunction),
    };
    const { missingBlobDigests } = await this.#options.retrier.run(
      () => this.#options.channel.unary(ContentAddressableStorageService.findMissingBlobs, request, {}, signal),
      signal,
    );
    return missingBlobDigests.map((each) => digestFromWire(each, digestFunction, 'missing_blob_digests'));
  }

  async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    signal.throwIfAborted();
    endOfRange(digest, range);
    yield* this.#streams.download(digest, range, signal);
  }

  async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    if (isEmptyDigest(digest)) return new Uint8Array(0);
    if (await this.#isBatched(digest, signal)) return this.#batches.download(digest, signal);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#streams.download(digest, { offset: 0 }, signal)) chunks.push(chunk);
    return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks, digest.sizeBytes);
  }

  /** A `RereadableSource` goes on after a broken connection where it was. */
  async write(
    digest: Digest,
    source: Uint8Array | AsyncIterable<Uint8Array> | RereadableSource,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    if ('from' in source) return this.writeFrom(digest, (offset) => source.from(offset), signal);
    if (source instanceof Uint8Array) {
      if (source.byteLength !== digest.sizeBytes) {
        throw invalidArgument(
          'digest.size_bytes',
          `${source.byteLength} bytes came, where the digest of blob ${digest.hash} names ${digest.sizeBytes}`,
        );
      }
      if (isEmptyDigest(digest)) return;
      if (await this.#isBatched(digest, signal)) await this.#batches.upload(digest, source, signal);
      else await this.#streams.upload(digest, fromBytes(source), signal);
      return;
    }
    if (isEmptyDigest(digest) || (await this.#isBatched(digest, signal))) {
      const data = await collectBlob(digest, source, signal);
      if (!isEmptyDigest(digest)) await this.#batches.upload(digest, data, signal);
    } else {
      await this.#streams.uploadOnce(digest, source, signal);
    }
  }

  /**
   * Stores a blob that can be read again from any byte on, such as a file: after a broken connection the upload goes on
   * where it was, which `write` can't do with a stream that passes by once.
   */
  async writeFrom(
    digest: Digest,
    open: (offset: number) => AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    if (isEmptyDigest(digest) || (await this.#isBatched(digest, signal))) await this.write(digest, open(0), signal);
    else await this.#streams.upload(digest, open, signal);
  }

  /** @throws UNIMPLEMENTED: the protocol has no call for it. Blobs that are never there are ignored as everywhere. */
  async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (isEmptyDigest(digest)) return;
    throw new StatusError(StatusCode.UNIMPLEMENTED, 'blobs of another server cannot be deleted by its clients');
  }

  async #isBatched(digest: Digest, signal: AbortSignal): Promise<boolean> {
    const { maxBatchedBlobBytes = DEFAULT_MAX_BATCHED_BLOB_BYTES } = this.#options;
    if (digest.sizeBytes > maxBatchedBlobBytes) return false;
    return digest.sizeBytes < (await this.#limits.maxBatchBytes(signal));
  }
}

/** Groups of digests of one function, none longer than a request may be. */
function requestsOf(digests: readonly Digest[]): Array<{ digestFunction: DigestFunction; digests: Digest[] }> {
  const requests: Array<{ digestFunction: DigestFunction; digests: Digest[] }> = [];
  const open = new Map<DigestFunction, Digest[]>();
  for (const digest of digests) {
    let group = open.get(digest.digestFunction);
    if (group === undefined || group.length >= DIGESTS_PER_REQUEST) {
      group = [];
      open.set(digest.digestFunction, group);
      requests.push({ digestFunction: digest.digestFunction, digests: group });
    }
    group.push(digest);
  }
  return requests;
}
