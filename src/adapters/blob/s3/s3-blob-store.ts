import { type Digest, digestKey, isEmptyDigest } from '../../../domain/digest.ts';
import { verifyBlob } from '../../../domain/digest-verifier.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { invalidArgument, notFound, StatusError } from '../../../domain/status-error.ts';
import { linkSignals } from '../../../lib/abort.ts';
import type { Logger } from '../../../lib/log.ts';
import { mapConcurrently } from '../../../lib/semaphore.ts';
import type { BlobBackend } from '../../../ports/blob-backend.ts';
import type { BlobListing, ListedBlob } from '../../../ports/blob-listing.ts';
import type { ByteRange } from '../../../ports/blob-store.ts';
import type { BlobWriter } from '../../../ports/blob-writers.ts';
import { bucketsOf } from '../../s3/bucket-template.ts';
import type { S3Objects } from '../../s3/s3-objects.ts';
import { pour } from '../pour.ts';
import { endOfRange, inReadChunks } from '../ranges.ts';
import { S3BlobKeys } from './s3-blob-keys.ts';
import { S3BlobWriter } from './s3-blob-writer.ts';

export interface S3BlobStoreOptions {
  /** Name of the bucket; `{hash:1}` or `{hash:2}` in it for so many first characters of the hash. */
  readonly bucket: string;
  readonly keyPrefix: string;
  /** Larger blobs go up and come down in parts of so many bytes. */
  readonly partBytes: number;
  /** Parts of one blob that are under way at once. */
  readonly concurrentParts: number;
}

/** The most parts that S3 makes an object of. */
const MAX_PARTS = 10_000;

/**
 * Blobs as objects of S3.
 *
 * A blob goes into its object by one request, or by an upload in parts that is completed once the hash is known to be
 * right; an object is replaced by equal bytes alone. Reads fetch one part after the other, a little ahead of the client,
 * so that a client that stalls holds memory and no connection. S3 keeps what it is given and is told of no use: whoever
 * evicts does it by an index of its own.
 */
export class S3BlobStore implements BlobBackend, BlobListing {
  readonly #objects: S3Objects;
  readonly #options: S3BlobStoreOptions;
  readonly #keys: S3BlobKeys;
  readonly #logger: Logger;

  constructor(objects: S3Objects, options: S3BlobStoreOptions, logger: Logger) {
    this.#objects = objects;
    this.#options = options;
    this.#keys = new S3BlobKeys(options.bucket, options.keyPrefix);
    this.#logger = logger;
  }

  /** One request for each digest. An object of another size than its name says is damaged, and counts as missing. */
  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const asked = new Map<string, Digest>();
    for (const digest of digests) if (!isEmptyDigest(digest)) asked.set(digestKey(digest), digest);
    const missing = await mapConcurrently(asked.values(), this.#objects.concurrency, signal, async (digest) => {
      const size = await this.#objects.size(this.#keys.placeOf(digest), signal);
      return size === digest.sizeBytes ? undefined : digest;
    });
    return missing.filter((digest) => digest !== undefined);
  }

  async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    signal.throwIfAborted();
    const end = endOfRange(digest, range);
    if (isEmptyDigest(digest)) return;
    if (range.offset === end && (await this.findMissing([digest], signal)).length > 0) throw notStored(digest);
    const { partBytes, concurrentParts } = this.#options;
    const link = linkSignals(signal);
    const ahead: Array<Promise<Buffer>> = [];
    let next = range.offset;
    try {
      while (next < end || ahead.length > 0) {
        for (; next < end && ahead.length < concurrentParts; next += partBytes) {
          const part = this.#fetch(digest, next, Math.min(end, next + partBytes), link.signal);
          part.catch(() => {});
          ahead.push(part);
        }
        yield* inReadChunks((await ahead[0]) ?? new Uint8Array(0));
        void ahead.shift();
      }
    } finally {
      link.abort(new Error('nobody reads on'));
    }
  }

  async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    if (isEmptyDigest(digest)) return new Uint8Array(0);
    return this.#fetch(digest, 0, digest.sizeBytes, signal);
  }

  async write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#checkSize(digest);
    if (source instanceof Uint8Array) {
      verifyBlob(digest, source);
      if (isEmptyDigest(digest)) return;
      if (digest.sizeBytes <= this.#options.partBytes) {
        await this.#objects.put(this.#keys.placeOf(digest), source, signal);
        return;
      }
    }
    await pour(this.#createWriter(digest, signal), source instanceof Uint8Array ? [source] : source, signal);
  }

  async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!isEmptyDigest(digest)) await this.#objects.delete(this.#keys.placeOf(digest), signal);
  }

  async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    signal.throwIfAborted();
    this.#checkSize(digest);
    return this.#createWriter(digest);
  }

  /** Every blob in the buckets. */
  async *list(signal: AbortSignal): AsyncGenerator<ListedBlob, void, undefined> {
    for (const bucket of bucketsOf(this.#options.bucket)) {
      for await (const { key, modifiedAt, sizeBytes } of this.#objects.list(bucket, this.#keys.prefix, signal)) {
        const digest = this.#keys.digestOf(bucket, key);
        if (digest?.sizeBytes === sizeBytes) yield { digest, storedAt: modifiedAt };
      }
    }
  }

  /** S3 evicts nothing. */
  pin(): void {}

  unpin(): void {}

  #createWriter(digest: Digest, signal?: AbortSignal): S3BlobWriter {
    return new S3BlobWriter(digest, {
      objects: this.#objects,
      place: this.#keys.placeOf(digest),
      partBytes: this.#options.partBytes,
      concurrentParts: this.#options.concurrentParts,
      logger: this.#logger,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** @throws NOT_FOUND; DATA_LOSS when the object has another size than the blob, after which it is removed. */
  async #fetch(digest: Digest, begin: number, end: number, signal: AbortSignal): Promise<Buffer> {
    const place = this.#keys.placeOf(digest);
    const isWhole = begin === 0 && end === digest.sizeBytes;
    const found = await this.#objects.get(place, isWhole ? undefined : { begin, end }, signal);
    if (found === undefined) throw notStored(digest);
    if (found.totalBytes === digest.sizeBytes && found.bytes.byteLength === end - begin) return found.bytes;
    this.#logger.error(
      { blob: digestKey(digest), bytes: found.totalBytes },
      'an object on S3 has another size than its blob; it is deleted',
    );
    await this.#objects.delete(place, signal);
    throw new StatusError(StatusCode.DATA_LOSS, `blob ${digestKey(digest)} is damaged; upload it again`);
  }

  #checkSize(digest: Digest): void {
    const most = this.#options.partBytes * MAX_PARTS;
    if (digest.sizeBytes <= most) return;
    throw invalidArgument(
      'digest.size_bytes',
      `${digest.sizeBytes} is more than the ${most} bytes that the store takes`,
    );
  }
}

function notStored(digest: Digest): StatusError {
  return notFound(`blob ${digestKey(digest)} is not stored`);
}
