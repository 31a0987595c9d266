import type { ChunkCutter, Chunker } from '../domain/chunking/chunker.ts';
import { FastCdc2020, type FastCdc2020Parameters } from '../domain/chunking/fast-cdc-2020.ts';
import { RepMaxCdc, type RepMaxCdcParameters } from '../domain/chunking/rep-max-cdc.ts';
import { type Digest, digestKey, digestOf, isEmptyDigest } from '../domain/digest.ts';
import { invalidArgument, notFound } from '../domain/status-error.ts';
import type { BlobStore } from '../ports/blob-store.ts';

/** What REAPI recommends, and Capabilities tells: clients share chunks only where all cut alike. */
export const FAST_CDC_2020: FastCdc2020Parameters = { averageBytes: 512 * 1024, seed: 0 };
export const REP_MAX_CDC: RepMaxCdcParameters = { minimumBytes: 256 * 1024, horizonBytes: 8 * 256 * 1024 };

/** The chunking functions that are served. */
export type ChunkingFunctionName = 'fast-cdc-2020' | 'rep-max-cdc';

const CHUNKERS: Readonly<Record<ChunkingFunctionName, Chunker>> = {
  'fast-cdc-2020': new FastCdc2020(FAST_CDC_2020),
  'rep-max-cdc': new RepMaxCdc(REP_MAX_CDC),
};

/**
 * Cuts a blob and stores its chunks, no more in memory than the chunking function has to see.
 *
 * A blob that clients would leave whole is its own and only chunk.
 *
 * @returns the digests of the chunks in order; none for the empty blob.
 * @throws NOT_FOUND when the blob is not stored; RESOURCE_EXHAUSTED when there is no room for the chunks.
 */
export async function splitIntoChunks(
  blobs: BlobStore,
  digest: Digest,
  chunkingFunction: ChunkingFunctionName,
  signal: AbortSignal,
): Promise<Digest[]> {
  const chunker = CHUNKERS[chunkingFunction];
  if (isEmptyDigest(digest)) return [];
  if (digest.sizeBytes <= chunker.undividedBytes) {
    if ((await blobs.findMissing([digest], signal)).length > 0) throw missing(digest);
    return [digest];
  }
  const chunks: Digest[] = [];
  for await (const data of chunksOf(blobs.read(digest, { offset: 0 }, signal), chunker)) {
    const chunk = digestOf(data, digest.digestFunction);
    if ((await blobs.findMissing([chunk], signal)).length > 0) await blobs.write(chunk, data, signal);
    chunks.push(chunk);
  }
  return chunks;
}

/**
 * Stores the blob that chunks make. The store checks its digest as the bytes come.
 *
 * @throws NOT_FOUND when a chunk is missing; INVALID_ARGUMENT when the chunks make another blob; RESOURCE_EXHAUSTED.
 */
export async function spliceChunks(
  blobs: BlobStore,
  digest: Digest,
  chunks: readonly Digest[],
  signal: AbortSignal,
): Promise<void> {
  const total = chunks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (total !== digest.sizeBytes) {
    throw invalidArgument('chunk_digests', `the chunks have ${total} bytes, the blob ${digest.sizeBytes}`);
  }
  const [absent] = await blobs.findMissing(chunks, signal);
  if (absent !== undefined) throw missing(absent);
  if ((await blobs.findMissing([digest], signal)).length > 0) {
    await blobs.write(digest, concatenated(blobs, chunks, signal), signal);
  }
}

async function* concatenated(
  blobs: BlobStore,
  chunks: readonly Digest[],
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  for (const chunk of chunks) yield* blobs.read(chunk, { offset: 0 }, signal);
}

async function* chunksOf(source: AsyncIterable<Uint8Array>, chunker: Chunker): AsyncIterable<Uint8Array> {
  const window = new Window(chunker);
  for await (const data of source) {
    for (let at = 0; at < data.byteLength; ) {
      at += window.fill(data.subarray(at));
      if (window.full) yield window.take();
    }
  }
  while (window.filled > 0) yield window.take();
}

/** As many bytes as the chunker has to see for one cut. */
class Window {
  readonly #bytes: Buffer;
  readonly #cutter: ChunkCutter;
  filled = 0;

  constructor(chunker: Chunker) {
    this.#bytes = Buffer.allocUnsafe(chunker.windowBytes);
    this.#cutter = chunker.begin();
  }

  get full(): boolean {
    return this.filled === this.#bytes.byteLength;
  }

  /** @returns how many bytes there was room for. */
  fill(data: Uint8Array): number {
    const part = data.subarray(0, this.#bytes.byteLength - this.filled);
    this.#bytes.set(part, this.filled);
    this.filled += part.byteLength;
    return part.byteLength;
  }

  /** The next chunk, in memory of its own: stores keep what they are given. */
  take(): Uint8Array {
    const length = this.#cutter.cut(this.#bytes.subarray(0, this.filled));
    const chunk = Uint8Array.prototype.slice.call(this.#bytes, 0, length);
    this.#bytes.copyWithin(0, length, this.filled);
    this.filled -= length;
    return chunk;
  }
}

function missing(digest: Digest) {
  return notFound(`blob ${digestKey(digest)} is not stored`);
}
