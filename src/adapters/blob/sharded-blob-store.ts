import type { Digest } from '../../domain/digest.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { findMissingByStore } from './find-missing-by-store.ts';

/** One of the stores that share the blobs. */
export interface Shard {
  /** Decides, with the digest, which blobs the shard holds. Must stay as it is when the store moves. */
  readonly name: string;
  /** Its share, in relation to the others'; above 0. */
  readonly weight: number;
  readonly store: BlobBackend;
}

/**
 * Each blob in one of several stores, chosen by rendezvous hashing: every shard draws a number for the digest and the
 * highest, after weighting, has it. So a shard that is added takes its share from all the others and nothing else moves;
 * what moved is missing until it is uploaded anew.
 */
export class ShardedBlobStore implements BlobBackend {
  readonly #shards: ReadonlyArray<Shard & { readonly seed: number }>;

  constructor(shards: readonly Shard[]) {
    if (shards.length === 0) throw new RangeError('a sharded store needs at least one shard');
    if (new Set(shards.map(({ name }) => name)).size < shards.length)
      throw new RangeError('shards need different names');
    this.#shards = shards.map((shard) => ({ ...shard, seed: hashText(shard.name) }));
  }

  findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    return findMissingByStore(digests, (digest) => this.#storeOf(digest), signal);
  }

  read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#storeOf(digest).read(digest, range, signal);
  }

  readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    return this.#storeOf(digest).readWhole(digest, signal);
  }

  write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    return this.#storeOf(digest).write(digest, source, signal);
  }

  delete(digest: Digest, signal: AbortSignal): Promise<void> {
    return this.#storeOf(digest).delete(digest, signal);
  }

  openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    return this.#storeOf(digest).openWriter(digest, signal);
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    for (const digest of digests) this.#storeOf(digest).pin(owner, [digest]);
  }

  unpin(owner: string): void {
    for (const { store } of this.#shards) store.unpin(owner);
  }

  /** The name of the shard that has this blob. */
  shardOf(digest: Digest): string {
    return this.#choose(digest).name;
  }

  #storeOf(digest: Digest): BlobBackend {
    return this.#choose(digest).store;
  }

  #choose(digest: Digest): Shard {
    const high = Number.parseInt(digest.hash.slice(0, 8), 16);
    const low = Number.parseInt(digest.hash.slice(8, 16), 16);
    let best = this.#shards[0] as Shard;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (const shard of this.#shards) {
      const drawn = (mix(mix(high ^ shard.seed) ^ low) + 0.5) / 2 ** 32;
      // With exponential weights each shard wins in proportion to its weight.
      const score = Math.log(drawn) / shard.weight;
      if (score > bestScore) {
        best = shard;
        bestScore = score;
      }
    }
    return best;
  }
}

function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x45_d9_f3_b);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c_1b_3c_6d);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hashText(text: string): number {
  let hash = 0x81_1c_9d_c5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01_00_01_93);
  return mix(hash);
}
