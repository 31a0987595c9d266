import { type Digest, digestKey, isEmptyDigest } from '../../../domain/digest.ts';
import { DigestVerifier, verifyBlob } from '../../../domain/digest-verifier.ts';
import { notFound, resourceExhausted, type StatusError } from '../../../domain/status-error.ts';
import { LruMap } from '../../../lib/lru-map.ts';
import type { BlobListing, ListedBlob } from '../../../ports/blob-listing.ts';
import type { BlobPins } from '../../../ports/blob-pins.ts';
import type { BlobStore, ByteRange } from '../../../ports/blob-store.ts';
import type { BlobWriter, BlobWriters } from '../../../ports/blob-writers.ts';
import { PinTable } from '../pin-table.ts';
import { pour } from '../pour.ts';
import { endOfRange } from '../ranges.ts';

const CHUNK_BYTES = 1024 * 1024;

interface StoredBlob {
  readonly digest: Digest;
  readonly data: Uint8Array;
}

/**
 * Blobs in memory, the least recently used dropped beyond a total size.
 *
 * What uploads under way have sent counts towards the total, so that memory stays bounded whatever clients do.
 */
export class MemoryBlobStore implements BlobStore, BlobWriters, BlobPins, BlobListing {
  readonly #limit: number;
  /** Without a limit of its own: pins decide what goes. */
  readonly #blobs = new LruMap<string, StoredBlob>(Number.POSITIVE_INFINITY, ({ data }) => data.byteLength);
  readonly #pins = new PinTable();
  #reservedBytes = 0;

  readonly #onEvicted: ((blobs: number, bytes: number) => void) | undefined;

  /**
   * @param maximumSizeBytes the greatest total size of all blobs, those under way included.
   * @param onEvicted hears how many blobs made room for others, and of how many bytes. Must not throw.
   */
  constructor(maximumSizeBytes: number, onEvicted?: (blobs: number, bytes: number) => void) {
    this.#limit = maximumSizeBytes;
    this.#onEvicted = onEvicted;
  }

  /** The total size of what is stored. */
  get storedBytes(): number {
    return this.#blobs.weight;
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    this.#pins.pin(owner, digests);
  }

  unpin(owner: string): void {
    this.#pins.unpin(owner);
  }

  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const missing = new Map<string, Digest>();
    for (const digest of digests) {
      if (isEmptyDigest(digest)) continue;
      const key = digestKey(digest);
      if (this.#blobs.get(key) === undefined && !missing.has(key)) missing.set(key, digest);
    }
    return [...missing.values()];
  }

  async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const end = endOfRange(digest, range);
    const data = this.#get(digest);
    for (let offset = range.offset; offset < end; offset += CHUNK_BYTES) {
      signal.throwIfAborted();
      yield data.slice(offset, Math.min(offset + CHUNK_BYTES, end));
    }
  }

  async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    return this.#get(digest).slice();
  }

  async write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (source instanceof Uint8Array) {
      verifyBlob(digest, source);
      if (this.#blobs.get(digestKey(digest)) !== undefined || isEmptyDigest(digest)) return;
      if (digest.sizeBytes > this.#limit) throw this.#noRoom(digest);
      this.#reserve(digest, source.byteLength);
      this.#reservedBytes -= source.byteLength;
      this.#publish(digest, new Uint8Array(source));
      return;
    }
    await pour(await this.openWriter(digest, signal), source, signal);
  }

  async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#blobs.delete(digestKey(digest));
  }

  async *list(signal: AbortSignal): AsyncGenerator<ListedBlob> {
    for (const [, { digest }] of this.#blobs.entries()) {
      signal.throwIfAborted();
      yield { digest, storedAt: undefined };
    }
  }

  async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    signal.throwIfAborted();
    if (digest.sizeBytes > this.#limit) throw this.#noRoom(digest);
    const verifier = new DigestVerifier(digest);
    let chunks: Uint8Array[] = [];
    const release = () => {
      for (const chunk of chunks) this.#reservedBytes -= chunk.byteLength;
      chunks = [];
    };
    return {
      digest,
      get receivedBytes() {
        return verifier.receivedBytes;
      },
      append: async (chunk) => {
        verifier.update(chunk);
        this.#reserve(digest, chunk.byteLength);
        chunks.push(new Uint8Array(chunk));
      },
      commit: async () => {
        verifier.finish();
        const data = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
        release();
        if (!isEmptyDigest(digest) && this.#blobs.get(digestKey(digest)) === undefined) this.#publish(digest, data);
      },
      abandon: async () => release(),
    };
  }

  #get(digest: Digest): Uint8Array {
    if (isEmptyDigest(digest)) return new Uint8Array(0);
    const data = this.#blobs.get(digestKey(digest))?.data;
    if (data === undefined) throw notFound(`blob ${digestKey(digest)} is not stored`);
    return data;
  }

  /** Makes room for so many bytes of a blob and counts them as under way. */
  #reserve(digest: Digest, bytes: number): void {
    const excess = () => this.storedBytes + this.#reservedBytes + bytes - this.#limit;
    if (excess() > 0) {
      for (const [key, { data }] of this.#blobs.entries()) {
        if (!this.#pins.isPinned(key)) {
          this.#blobs.delete(key);
          this.#onEvicted?.(1, data.byteLength);
        }
        if (excess() <= 0) break;
      }
    }
    if (excess() > 0) throw this.#noRoom(digest);
    this.#reservedBytes += bytes;
  }

  #publish(digest: Digest, data: Uint8Array): void {
    // A Buffer's slice would share its bytes with whoever reads.
    const own = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#blobs.set(digestKey(digest), { digest, data: own });
  }

  #noRoom(digest: Digest): StatusError {
    return resourceExhausted(
      `no room for a blob of ${digest.sizeBytes} bytes: the store's maximumSizeBytes is ${this.#limit}`,
      1000,
    );
  }
}
