import type { Compressor } from '../domain/compressor.ts';
import { isEmptyDigest } from '../domain/digest.ts';
import { type BlobName, parseReadName, parseWriteName, type UploadName } from '../domain/resource-name.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, notFound, StatusError } from '../domain/status-error.ts';
import { type Compression, CompressionError } from '../lib/compression.ts';
import type { CallContext } from '../ports/call-context.ts';
import type {
  QueryWriteStatusRequest,
  QueryWriteStatusResponse,
  ReadRequest,
  ReadResponse,
  WriteRequest,
  WriteResponse,
} from '../proto/google/bytestream/bytestream.ts';
import type { Instance, Instances } from './instances.ts';
import type { LogStreamTransfers } from './log-stream-transfers.ts';
import { WriteRequests } from './write-requests.ts';

export interface ByteStreamOptions {
  /** The largest blob that may be uploaded, in bytes; advertised. Defaults to 0: no limit. */
  readonly maxBlobSizeBytes?: number;
  /** The formats in which blobs may travel beside plain bytes. Defaults to none. */
  readonly compressions?: ReadonlyMap<Compressor, Compression>;
  /** Serves the names of log streams, too. Defaults to none: there are no log streams. */
  readonly logStreams?: LogStreamTransfers | undefined;
  /** Whether blobs are served. Defaults to true. */
  readonly blobsServed?: boolean;
  /**
   * Whether an upload of a blob that is stored already is answered at once, with the client still sending. Switch it
   * off behind a proxy that takes such an answer for a broken stream (HAProxy): the rest is then read and dropped.
   * Defaults to true.
   */
  readonly answerExistingUploadsEarly?: boolean;
}

/** The header that may repeat the resource name, for proxies that route by it. */
const RESOURCE_NAME_HEADER = 'build.bazel.remote.execution.v2.resource-name';

/** What a compressed upload that was not needed is answered with. */
const COMPRESSED_UPLOAD_NOT_NEEDED = -1n;

/** The service ByteStream: blobs of any size, piece by piece, both ways. */
export class ByteStream {
  readonly #instances: Instances;
  readonly #maxBlobSizeBytes: number;
  readonly #compressions: ReadonlyMap<Compressor, Compression>;
  readonly #answerEarly: boolean;
  readonly #logStreams: LogStreamTransfers | undefined;
  readonly #blobsServed: boolean;

  constructor(instances: Instances, options: ByteStreamOptions = {}) {
    this.#instances = instances;
    this.#maxBlobSizeBytes = options.maxBlobSizeBytes ?? 0;
    this.#compressions = options.compressions ?? new Map();
    this.#answerEarly = options.answerExistingUploadsEarly ?? true;
    this.#logStreams = options.logStreams;
    this.#blobsServed = options.blobsServed ?? true;
  }

  /** @throws NOT_FOUND; OUT_OF_RANGE when the offset is negative or behind the end; INVALID_ARGUMENT. */
  async *read(request: ReadRequest, context: CallContext): AsyncIterable<ReadResponse> {
    const name = parseReadName(request.resourceName);
    checkHeader(request.resourceName, context);
    if (name.kind === 'log-stream') {
      yield* this.#servedLogStreams().read(name, request, context);
      return;
    }
    this.#checkBlobsServed();
    const { blobs } = this.#instances.get(name.instanceName, 'resource_name');
    const compression = this.#compression(name.compressor);
    const range = rangeOf(request, name);
    if (compression !== undefined && range.length !== undefined) {
      throw invalidArgument('read_limit', 'must be 0 for compressed blobs');
    }
    // Stores hold the empty blob without having it: there is nothing to ask them.
    const plain = isEmptyDigest(name.digest) ? nothing() : blobs.read(name.digest, range, context.signal);
    const chunks = compression === undefined ? plain : compression.compressStream(plain);
    for await (const chunk of chunks) {
      yield { data: Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) };
    }
  }

  /**
   * Takes a blob, from the start or from where an earlier call broke off.
   *
   * @throws INVALID_ARGUMENT when the messages don't fit together or the blob does not fit its digest; OUT_OF_RANGE when
   *   the first offset lies behind what has arrived; RESOURCE_EXHAUSTED.
   */
  async write(messages: AsyncIterable<WriteRequest>, context: CallContext): Promise<WriteResponse> {
    const requests = await WriteRequests.open(messages);
    try {
      const name = parseWriteName(requests.resourceName);
      checkHeader(requests.resourceName, context);
      if (name.kind === 'log-stream') return await this.#servedLogStreams().write(name, requests, context);
      this.#checkBlobsServed();
      const instance = this.#instances.get(name.instanceName, 'resource_name');
      const compression = this.#compression(name.compressor);
      this.#checkSize(name);
      return compression === undefined
        ? await this.#writePlain(name, instance, requests, context.signal)
        : await this.#writeCompressed(name, instance, requests, compression, context.signal);
    } finally {
      requests.close();
    }
  }

  /** For an upload in compressed form, too, the size counts plain bytes: it is the offset to go on from. */
  async queryWriteStatus(request: QueryWriteStatusRequest, context: CallContext): Promise<QueryWriteStatusResponse> {
    const name = parseWriteName(request.resourceName);
    if (name.kind === 'log-stream') return this.#servedLogStreams().queryWriteStatus(name, context);
    this.#checkBlobsServed();
    const { uploads } = this.#instances.get(name.instanceName, 'resource_name');
    this.#compression(name.compressor);
    const { committedSize, complete } = await uploads.status(uploadKey(name), name.digest, context.signal);
    return { committedSize: BigInt(committedSize), complete };
  }

  async #writePlain(
    name: UploadName,
    { uploads }: Instance,
    requests: WriteRequests,
    signal: AbortSignal,
  ): Promise<WriteResponse> {
    const finished = () => requests.finished;
    const status = await uploads.receive(
      uploadKey(name),
      name.digest,
      requests.offset,
      requests.data(),
      finished,
      signal,
    );
    if (status.complete && !requests.ended) await this.#endEarly(requests);
    return { committedSize: BigInt(status.committedSize) };
  }

  async #writeCompressed(
    name: UploadName,
    { uploads }: Instance,
    requests: WriteRequests,
    compression: Compression,
    signal: AbortSignal,
  ): Promise<WriteResponse> {
    const finished = () => requests.finished;
    const room = Math.max(name.digest.sizeBytes - requests.offset, 0);
    const plain = decompress(compression, requests, room);
    const status = await uploads.receive(uploadKey(name), name.digest, requests.offset, plain, finished, signal);
    if (status.complete && !requests.ended) {
      await this.#endEarly(requests);
      return { committedSize: COMPRESSED_UPLOAD_NOT_NEEDED };
    }
    // As clients count: the offset of plain bytes that they began with and the compressed bytes that they sent.
    return { committedSize: BigInt(requests.offset + requests.receivedBytes) };
  }

  async #endEarly(requests: WriteRequests): Promise<void> {
    if (!this.#answerEarly) await requests.drop();
  }

  #compression(compressor: Compressor): Compression | undefined {
    if (compressor === 'identity') return undefined;
    const compression = this.#compressions.get(compressor);
    if (compression !== undefined) return compression;
    const served = ['identity', ...this.#compressions.keys()].join(', ');
    throw invalidArgument('resource_name', `compressor ${compressor} is not served; served are ${served}`);
  }

  #servedLogStreams(): LogStreamTransfers {
    if (this.#logStreams !== undefined) return this.#logStreams;
    throw notFound('resource_name: there is no such log stream; this server has none');
  }

  #checkBlobsServed(): void {
    if (this.#blobsServed) return;
    throw new StatusError(StatusCode.UNIMPLEMENTED, 'resource_name: this server has log streams and no blobs');
  }

  #checkSize({ digest }: UploadName): void {
    if (this.#maxBlobSizeBytes > 0 && digest.sizeBytes > this.#maxBlobSizeBytes) {
      throw invalidArgument(
        'resource_name',
        `the blob has ${digest.sizeBytes} bytes; blobs may have ${this.#maxBlobSizeBytes} here`,
      );
    }
  }
}

/** Offset and limit as ByteStream defines them: a limit of 0 is none. */
function rangeOf(request: ReadRequest, { digest }: BlobName): { offset: number; length: number | undefined } {
  const { readOffset, readLimit } = request;
  if (readOffset < 0n) throw new StatusError(StatusCode.OUT_OF_RANGE, `read_offset: ${readOffset} is negative`);
  if (readOffset > BigInt(digest.sizeBytes)) {
    throw new StatusError(
      StatusCode.OUT_OF_RANGE,
      `read_offset: ${readOffset} lies behind the end of the blob, which has ${digest.sizeBytes} bytes`,
    );
  }
  if (readLimit < 0n) throw invalidArgument('read_limit', `${readLimit} is negative`);
  return { offset: Number(readOffset), length: readLimit === 0n ? undefined : Number(readLimit) };
}

async function* decompress(
  compression: Compression,
  requests: WriteRequests,
  maxBytes: number,
): AsyncIterable<Uint8Array> {
  try {
    yield* compression.decompressStream(requests.data(), maxBytes);
  } catch (thrown) {
    if (!(thrown instanceof CompressionError)) throw thrown;
    // A client that stops without finish_write leaves a cut stream behind; what came of it is kept for later.
    if (requests.ended && !requests.finished) return;
    throw invalidArgument('data', thrown.message);
  }
}

/** What an upload is called in the store: without compressor, so that any form may go on with it. */
function uploadKey({ instanceName, uuid }: UploadName): string {
  return `${instanceName}/uploads/${uuid}`;
}

function checkHeader(resourceName: string, context: CallContext): void {
  const header = context.header(RESOURCE_NAME_HEADER);
  if (header !== undefined && header !== resourceName) {
    throw invalidArgument('resource_name', `differs from the header ${RESOURCE_NAME_HEADER}`);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
