import type { Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import type { _NapiBindings } from '@cloudpss/zstd/napi';
import { type Compression, CompressionError, unpacksToMore } from './compression.ts';
import { ZlibCompression } from './zlib-compression.ts';

/** Fast, and close to the ratio of slower levels on what builds make. */
const LEVEL = 3;

/**
 * Compressed bytes that are unpacked in one go. Each block of up to 128 KiB can be packed into 4 bytes: what a hostile
 * client makes of one go, in memory and in time in which nothing else runs, is at most 32 768 times this.
 */
const STEP_BYTES = 4_096;

/**
 * Compressors that are kept for the next stream. Each has some 4 MiB outside of JavaScript's heap, where the garbage
 * collector does not see them: one left to it for every stream made a server grow by 40 MiB with every sixteen streams.
 */
const IDLE_COMPRESSORS = 16;

type Bindings = typeof _NapiBindings;
type NativeCompressor = InstanceType<Bindings['Compressor']>;

/**
 * Zstandard, RFC 8878: Node's own where it has it (from 22.15), else a native library; undefined where there is neither,
 * and the format must not be advertised.
 */
export async function loadZstd(): Promise<Compression | undefined> {
  const { createZstdCompress, createZstdDecompress } = zlib as typeof zlib & {
    readonly createZstdCompress?: () => Transform;
    readonly createZstdDecompress?: () => Transform;
  };
  if (createZstdCompress !== undefined && createZstdDecompress !== undefined) {
    return new ZlibCompression({ createCompressor: createZstdCompress, createDecompressor: createZstdDecompress });
  }
  try {
    return new NativeZstd((await import('@cloudpss/zstd/napi'))._NapiBindings);
  } catch {
    return undefined;
  }
}

/** The library works in line, which costs less than a thread for the sizes of chunks that travel. */
class NativeZstd implements Compression {
  readonly #bindings: Bindings;
  readonly #idle: NativeCompressor[] = [];

  constructor(bindings: Bindings) {
    this.#bindings = bindings;
  }

  async compress(data: Uint8Array, _signal: AbortSignal): Promise<Uint8Array> {
    return this.#bindings.compress(asBuffer(data), LEVEL);
  }

  async decompress(data: Uint8Array, maxBytes: number, _signal: AbortSignal): Promise<Uint8Array> {
    try {
      // Shares one context between all calls, where a stream would leave its own to the garbage collector.
      return this.#bindings.decompress(asBuffer(data), maxBytes + 1);
    } catch {
      // Data that does not tell its size is taken for larger than it may be: only unpacking can tell.
      const chunks = [...new Unpacker(this.#bindings, maxBytes).unpack(data)];
      return Buffer.concat(chunks);
    }
  }

  async *compressStream(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const compressor = this.#idle.pop() ?? new this.#bindings.Compressor(LEVEL);
    const packed: Buffer[] = [];
    let ended = false;
    try {
      for await (const chunk of source) {
        compressor.data(asBuffer(chunk), (data) => packed.push(data));
        yield* packed.splice(0);
      }
      compressor.end((data) => packed.push(data));
      ended = true;
      yield* packed;
    } finally {
      // What it holds of a stream that broke off must not come out at the head of the next.
      if (!ended) compressor.end(() => {});
      if (this.#idle.length < IDLE_COMPRESSORS) this.#idle.push(compressor);
    }
  }

  async *decompressStream(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncIterable<Uint8Array> {
    const unpacker = new Unpacker(this.#bindings, maxBytes);
    for await (const chunk of source) yield* unpacker.unpack(chunk);
  }
}

/** Unpacks one stream in small steps, and drops what is more than it may give. */
class Unpacker {
  readonly #decompressor: InstanceType<Bindings['Decompressor']>;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(bindings: Bindings, maxBytes: number) {
    this.#decompressor = new bindings.Decompressor();
    this.#maxBytes = maxBytes;
  }

  *unpack(chunk: Uint8Array): Iterable<Uint8Array> {
    const unpacked: Buffer[] = [];
    const take = (data: Buffer) => {
      this.#bytes += data.byteLength;
      if (this.#bytes <= this.#maxBytes) unpacked.push(data);
    };
    for (let at = 0; at < chunk.byteLength; at += STEP_BYTES) {
      try {
        this.#decompressor.data(asBuffer(chunk.subarray(at, at + STEP_BYTES)), take);
      } catch (cause) {
        throw new CompressionError(cause instanceof Error ? cause.message : 'damaged data', { cause });
      }
      if (this.#bytes > this.#maxBytes) throw unpacksToMore(this.#maxBytes);
      yield* unpacked.splice(0);
    }
  }
}

function asBuffer(data: Uint8Array): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
