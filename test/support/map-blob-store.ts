import { type Digest, digestKey, digestOf, digestsEqual, isEmptyDigest } from '../../src/domain/digest.ts';
import { SHA256 } from '../../src/domain/digest-function.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { invalidArgument, notFound, StatusError } from '../../src/domain/status-error.ts';
import type { BlobStore, ByteRange } from '../../src/ports/blob-store.ts';

/**
 * Blobs in a map, for tests of what stands on a BlobStore: counts calls, and fails where told to.
 *
 * Not an adapter: it has no limits and no eviction.
 */
export class MapBlobStore implements BlobStore {
  readonly blobs = new Map<string, Uint8Array>();
  /** The number of digests of each call of findMissing. */
  readonly lookups: number[] = [];
  readonly reads: string[] = [];
  /** Thrown by every write. */
  writeFailure: Error | undefined;
  /** The greatest number of writes that were under way at once. */
  mostWritesAtOnce = 0;
  #writesAtOnce = 0;

  /** Stores bytes and gives their digest. */
  add(data: Uint8Array | string, digestFunction = SHA256): Digest {
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const digest = digestOf(bytes, digestFunction);
    if (bytes.byteLength > 0) this.blobs.set(digestKey(digest), bytes);
    return digest;
  }

  remove(digest: Digest): void {
    this.blobs.delete(digestKey(digest));
  }

  has(digest: Digest): boolean {
    return isEmptyDigest(digest) || this.blobs.has(digestKey(digest));
  }

  findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    this.lookups.push(digests.length);
    const byKey = new Map(digests.map((digest) => [digestKey(digest), digest]));
    return Promise.resolve([...byKey.values()].filter((digest) => !this.has(digest)));
  }

  async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const whole = await this.readWhole(digest, signal);
    if (range.offset > whole.byteLength) throw new StatusError(StatusCode.OUT_OF_RANGE, 'behind the end');
    const end = range.length === undefined ? whole.byteLength : range.offset + range.length;
    for (let at = range.offset; at < Math.min(end, whole.byteLength); at += 1 << 20) {
      yield whole.subarray(at, Math.min(at + (1 << 20), end));
    }
  }

  readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    this.reads.push(digestKey(digest));
    if (isEmptyDigest(digest)) return Promise.resolve(new Uint8Array(0));
    const blob = this.blobs.get(digestKey(digest));
    return blob === undefined ? Promise.reject(notFound(`blob ${digestKey(digest)}`)) : Promise.resolve(blob);
  }

  async write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#writesAtOnce += 1;
    this.mostWritesAtOnce = Math.max(this.mostWritesAtOnce, this.#writesAtOnce);
    try {
      if (this.writeFailure !== undefined) throw this.writeFailure;
      const chunks: Uint8Array[] = [];
      if (source instanceof Uint8Array) chunks.push(source);
      else for await (const chunk of source) chunks.push(chunk.slice());
      const bytes = Buffer.concat(chunks);
      await Promise.resolve();
      if (!digestsEqual(digestOf(bytes, digest.digestFunction), digest)) {
        throw invalidArgument('digest', 'the content does not fit');
      }
      if (bytes.byteLength > 0) this.blobs.set(digestKey(digest), bytes);
    } finally {
      this.#writesAtOnce -= 1;
    }
  }

  delete(digest: Digest): Promise<void> {
    this.remove(digest);
    return Promise.resolve();
  }
}
