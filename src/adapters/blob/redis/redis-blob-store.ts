import { createDigest, type Digest, digestKey, isEmptyDigest } from '../../../domain/digest.ts';
import { digestFunctionBySegment } from '../../../domain/digest-function.ts';
import { verifyBlob } from '../../../domain/digest-verifier.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { invalidArgument, notFound, StatusError } from '../../../domain/status-error.ts';
import type { Logger } from '../../../lib/log.ts';
import type { BlobListing, ListedBlob } from '../../../ports/blob-listing.ts';
import type { BlobStore, ByteRange } from '../../../ports/blob-store.ts';
import type { RedisEntries } from '../../state/redis/redis-entries.ts';
import { collectBlob } from '../collect-blob.ts';
import { endOfRange, inReadChunks } from '../ranges.ts';

/** Digests that are asked for at once: a bound for what waits, far above what one round trip costs. */
const TOUCHED_AT_ONCE = 5_000;
const NAME = /^([a-z0-9]+):([0-9a-f]+):(0|[1-9][0-9]*)$/;

/**
 * Small blobs in Redis, one key each. All reads are checked against the digest, parts as well, since the whole comes from
 * Redis in any case. Calls made at the same moment take one round trip, however many they are.
 */
export class RedisBlobStore implements BlobStore, BlobListing {
  readonly #entries: RedisEntries;
  readonly #maximumBlobBytes: number;
  readonly #logger: Logger;

  /** @param maximumBlobBytes larger blobs are refused. */
  constructor(entries: RedisEntries, maximumBlobBytes: number, logger: Logger) {
    this.#entries = entries;
    this.#maximumBlobBytes = maximumBlobBytes;
    this.#logger = logger;
  }

  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const asked = new Map<string, Digest>();
    for (const digest of digests) if (!isEmptyDigest(digest)) asked.set(keyOf(digest), digest);
    const keys = [...asked.keys()];
    const missing: Digest[] = [];
    for (let begin = 0; begin < keys.length; begin += TOUCHED_AT_ONCE) {
      const group = keys.slice(begin, begin + TOUCHED_AT_ONCE);
      const found = await Promise.all(group.map((key) => this.#entries.touch(key, signal)));
      for (const [i, key] of group.entries()) if (found[i] !== true) missing.push(asked.get(key) as Digest);
    }
    return missing;
  }

  async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const end = endOfRange(digest, range);
    const data = await this.readWhole(digest, signal);
    for (const chunk of inReadChunks(data, range.offset, end)) {
      signal.throwIfAborted();
      yield chunk;
    }
  }

  async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    if (isEmptyDigest(digest)) return new Uint8Array(0);
    const key = keyOf(digest);
    const data = await this.#entries.get(key, signal);
    if (data === undefined) throw notFound(`blob ${digestKey(digest)} is not stored`);
    try {
      verifyBlob(digest, data);
      return data;
    } catch (cause) {
      this.#logger.error({ blob: digestKey(digest), err: cause }, 'a blob in Redis is damaged, and deleted');
      await this.#entries.delete(key, signal);
      throw new StatusError(
        StatusCode.DATA_LOSS,
        `the stored bytes of blob ${digestKey(digest)} are damaged and have been dropped: upload them anew`,
        { cause },
      );
    }
  }

  /** @throws INVALID_ARGUMENT also for a blob above the limit. */
  async write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (digest.sizeBytes > this.#maximumBlobBytes) {
      throw invalidArgument(
        'digest.size_bytes',
        `${digest.sizeBytes} is more than the ${this.#maximumBlobBytes} bytes (maximumBlobBytes) that the store takes`,
      );
    }
    let data = source;
    if (data instanceof Uint8Array) verifyBlob(digest, data);
    else data = await collectBlob(digest, data, signal);
    if (!isEmptyDigest(digest)) await this.#entries.set(keyOf(digest), data, signal);
  }

  async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#entries.delete(keyOf(digest), signal);
  }

  /** Every blob. Redis does not tell when it was stored. */
  async *list(signal: AbortSignal): AsyncGenerator<ListedBlob, void, undefined> {
    for await (const key of this.#entries.keys(signal)) {
      const digest = digestOfKey(key);
      if (digest !== undefined) yield { digest, storedAt: undefined };
    }
  }
}

/** `<function>:<hash>:<size>`. */
function keyOf({ digestFunction, hash, sizeBytes }: Digest): string {
  return `${digestFunction.name.toLowerCase()}:${hash}:${sizeBytes}`;
}

function digestOfKey(key: string): Digest | undefined {
  const [, name = '', hash = '', size] = NAME.exec(key) ?? [];
  const digestFunction = digestFunctionBySegment(name);
  if (digestFunction?.hashLength !== hash.length || !Number.isSafeInteger(Number(size))) return undefined;
  return createDigest(digestFunction, hash, Number(size));
}
