import type { Digest } from '../../../domain/digest.ts';
import { DigestVerifier } from '../../../domain/digest-verifier.ts';
import { formatBlobName, formatUploadName } from '../../../domain/resource-name.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { invalidArgument, StatusError, unavailable } from '../../../domain/status-error.ts';
import type { IdGenerator } from '../../../lib/ids.ts';
import type { ByteRange } from '../../../ports/blob-store.ts';
import type { WriteRequest } from '../../../proto/google/bytestream/bytestream.ts';
import { FastByteStreamService } from '../../../wire/byte-stream-codec.ts';
import type { GrpcChannel } from '../../grpc-client/grpc-channel.ts';
import type { Retrier } from '../../grpc-client/retrier.ts';
import { damaged } from './batch-transfers.ts';

/** Bytes in one message. Larger ones gained nothing, smaller ones cost a third more CPU. */
const CHUNK_BYTES = 1024 * 1024;

/** Opens what is to be uploaded, from this byte on. Called again when an upload goes on after a broken connection. */
export type OpenSource = (offset: number) => AsyncIterable<Uint8Array>;

/** Large blobs by ByteStream, going on where a broken connection left off. */
export class StreamTransfers {
  readonly #channel: GrpcChannel;
  readonly #instanceName: string;
  readonly #retrier: Retrier;
  readonly #ids: IdGenerator;

  constructor(channel: GrpcChannel, instanceName: string, retrier: Retrier, ids: IdGenerator) {
    this.#channel = channel;
    this.#instanceName = instanceName;
    this.#retrier = retrier;
    this.#ids = ids;
  }

  /** @throws INVALID_ARGUMENT when the source does not fit the digest; what the source throws, unchanged. */
  async upload(digest: Digest, open: OpenSource, signal: AbortSignal): Promise<void> {
    const resourceName = this.#uploadName(digest);
    let reached = 0;
    await this.#retrier.run(async (attempt) => {
      const status = attempt.number === 1 ? { offset: 0, complete: false } : await this.#status(resourceName, signal);
      if (status.complete) return;
      if (status.offset > reached) attempt.madeProgress();
      reached = Math.max(reached, status.offset);
      await this.#send(digest, resourceName, status.offset, open(status.offset), signal);
    }, signal);
  }

  /** An upload of bytes that pass by once: a broken connection ends it. @throws as `upload` does. */
  uploadOnce(digest: Digest, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    return this.#send(digest, this.#uploadName(digest), 0, source, signal);
  }

  #uploadName(digest: Digest): string {
    const uuid = this.#ids.uuid();
    return formatUploadName({
      instanceName: this.#instanceName,
      uuid,
      compressor: 'identity',
      digest,
      metadata: undefined,
    });
  }

  async #send(
    digest: Digest,
    resourceName: string,
    offset: number,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const requests = writeRequests(digest, resourceName, offset, source);
    const response = await this.#channel.clientStream(FastByteStreamService.write, requests, {}, signal);
    const committed = Number(response.committedSize);
    if (committed !== digest.sizeBytes) {
      throw unavailable(`the server took ${committed} of ${digest.sizeBytes} bytes of blob ${digest.hash}`, 0);
    }
  }

  async #status(resourceName: string, signal: AbortSignal): Promise<{ offset: number; complete: boolean }> {
    try {
      const { committedSize, complete } = await this.#channel.unary(
        FastByteStreamService.queryWriteStatus,
        { resourceName },
        {},
        signal,
      );
      return { offset: Number(committedSize), complete };
    } catch (thrown) {
      const unknown = thrown instanceof StatusError && UNKNOWN_UPLOAD.has(thrown.code);
      if (unknown) return { offset: 0, complete: false };
      throw thrown;
    }
  }

  /** The bytes of a range. @throws as BlobStore.read does. */
  async *download(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const resourceName = formatBlobName({ instanceName: this.#instanceName, compressor: 'identity', digest });
    const end = Math.min(digest.sizeBytes, range.offset + (range.length ?? digest.sizeBytes));
    const verifier = range.offset === 0 && end === digest.sizeBytes ? new DigestVerifier(digest) : undefined;
    const failures = this.#retrier.countFailures();
    let offset = range.offset;
    while (offset < end) {
      const begin = offset;
      try {
        const request = { resourceName, readOffset: BigInt(offset), readLimit: BigInt(end - offset) };
        for await (const { data } of this.#channel.serverStream(FastByteStreamService.read, request, {}, signal)) {
          if (offset + data.byteLength > end) throw damaged(digest);
          verifier?.update(data);
          for (let at = 0; at < data.byteLength; at += CHUNK_BYTES) {
            const chunk = data.byteLength <= CHUNK_BYTES ? data : data.subarray(at, at + CHUNK_BYTES);
            offset += chunk.byteLength;
            yield chunk;
          }
        }
        if (offset < end) throw unavailable(`the server sent ${offset} of ${end} bytes of blob ${digest.hash}`, 0);
      } catch (thrown) {
        await failures.waitAfter(thrown, offset > begin, signal);
      }
    }
    try {
      verifier?.finish();
    } catch (cause) {
      throw damaged(digest, cause);
    }
  }
}

/** What servers answer that know nothing of an upload, or nothing of QueryWriteStatus. */
const UNKNOWN_UPLOAD: ReadonlySet<StatusCode> = new Set([StatusCode.NOT_FOUND, StatusCode.UNIMPLEMENTED]);

/**
 * The messages of one upload. The last one, which has the server store the blob, goes out only when the source has
 * ended with the right length.
 */
async function* writeRequests(
  digest: Digest,
  resourceName: string,
  firstOffset: number,
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<WriteRequest, void, undefined> {
  let offset = firstOffset;
  let name = resourceName;
  let held: Uint8Array | undefined;
  const message = (data: Uint8Array, finishWrite: boolean): WriteRequest => {
    const request = {
      resourceName: name,
      writeOffset: BigInt(offset),
      finishWrite,
      data: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    };
    name = '';
    offset += data.byteLength;
    return request;
  };
  for await (const chunk of source) {
    for (let at = 0; at < chunk.byteLength; at += CHUNK_BYTES) {
      if (held !== undefined) yield message(held, false);
      held = chunk.subarray(at, at + CHUNK_BYTES);
      if (offset + held.byteLength > digest.sizeBytes) {
        throw invalidArgument('digest.size_bytes', `more bytes came than the ${digest.sizeBytes} of the digest`);
      }
    }
  }
  const received = offset + (held?.byteLength ?? 0);
  if (received !== digest.sizeBytes) {
    throw invalidArgument('digest.size_bytes', `${received} bytes came, where the digest names ${digest.sizeBytes}`);
  }
  yield message(held ?? new Uint8Array(0), true);
}

/** Bytes in memory, as a source. */
export function fromBytes(data: Uint8Array): OpenSource {
  return async function* (offset) {
    for (let at = offset; at < data.byteLength; at += CHUNK_BYTES) yield data.subarray(at, at + CHUNK_BYTES);
  };
}
