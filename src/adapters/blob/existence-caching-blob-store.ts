import { type Digest, digestKey } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { Clock } from '../../lib/clock.ts';
import { LruMap } from '../../lib/lru-map.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { ForwardingBlobBackend } from './forwarding-blob-backend.ts';

export interface ExistenceCacheOptions {
  /**
   * Milliseconds for which a blob that was there counts as there. While it does, the store behind does not hear of its
   * uses: keep this well below the time for which that store protects what was used.
   */
  readonly maximumStalenessMilliseconds: number;
  /** How many digests are remembered; the least recently used are forgotten. */
  readonly maximumEntries: number;
}

/**
 * Remembers for a while which blobs were there: clients ask for overlapping sets of digests before each action, and a
 * store on another machine takes a journey to ask. What is missing is never remembered.
 */
export class ExistenceCachingBlobStore extends ForwardingBlobBackend {
  readonly #clock: Clock;
  readonly #maximumStaleness: number;
  /** When each was last known to be there. */
  readonly #seen: LruMap<string, number>;

  constructor(inner: BlobBackend, clock: Clock, options: ExistenceCacheOptions) {
    super(inner);
    this.#clock = clock;
    this.#maximumStaleness = options.maximumStalenessMilliseconds;
    this.#seen = new LruMap(options.maximumEntries);
  }

  override async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const now = this.#clock.monotonic();
    const unknown = digests.filter((digest) => {
      const seen = this.#seen.get(digestKey(digest));
      return seen === undefined || now - seen >= this.#maximumStaleness;
    });
    if (unknown.length === 0) return [];
    const missing = await this.inner.findMissing(unknown, signal);
    const absent = new Set(missing.map(digestKey));
    for (const digest of unknown) {
      const key = digestKey(digest);
      if (absent.has(key)) this.#seen.delete(key);
      else this.#seen.set(key, now);
    }
    return missing;
  }

  override async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    try {
      yield* this.inner.read(digest, range, signal);
    } catch (cause) {
      throw this.#noticed(digest, cause);
    }
  }

  override async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    try {
      return await this.inner.readWhole(digest, signal);
    } catch (cause) {
      throw this.#noticed(digest, cause);
    }
  }

  override async write(
    digest: Digest,
    source: Uint8Array | AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const begun = this.#clock.monotonic();
    await this.inner.write(digest, source, signal);
    this.#seen.set(digestKey(digest), begun);
  }

  override async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    this.#seen.delete(digestKey(digest));
    try {
      await this.inner.delete(digest, signal);
    } finally {
      this.#seen.delete(digestKey(digest));
    }
  }

  override async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    const writer = await this.inner.openWriter(digest, signal);
    return {
      digest,
      get receivedBytes() {
        return writer.receivedBytes;
      },
      append: (chunk) => writer.append(chunk),
      commit: async () => {
        await writer.commit();
        this.#seen.set(digestKey(digest), this.#clock.monotonic());
      },
      abandon: () => writer.abandon(),
    };
  }

  /** A blob that turned out to be gone is not remembered any more. */
  #noticed(digest: Digest, cause: unknown): unknown {
    if (cause instanceof StatusError && (cause.code === StatusCode.NOT_FOUND || cause.code === StatusCode.DATA_LOSS)) {
      this.#seen.delete(digestKey(digest));
    }
    return cause;
  }
}
