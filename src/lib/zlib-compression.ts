import { pipeline, type Transform } from 'node:stream';
import { type Compression, CompressionError, unpacksToMore } from './compression.ts';

/** How one of Node's zlib formats is packed and unpacked. */
export interface ZlibFormat {
  createCompressor(): Transform;
  createDecompressor(): Transform;
}

/** Any format of node:zlib. It works on threads of its own, and makes output only as fast as it is taken. */
export class ZlibCompression implements Compression {
  readonly #format: ZlibFormat;

  constructor(format: ZlibFormat) {
    this.#format = format;
  }

  compress(data: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return collect(this.compressStream(once(data)), signal);
  }

  decompress(data: Uint8Array, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    return collect(this.decompressStream(once(data), maxBytes), signal);
  }

  compressStream(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    return through(source, this.#format.createCompressor());
  }

  async *decompressStream(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncIterable<Uint8Array> {
    let bytes = 0;
    for await (const chunk of through(source, this.#format.createDecompressor())) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw unpacksToMore(maxBytes);
      yield chunk;
    }
  }
}

/** What comes out of a transform, with failures of the source told from those of the transform. */
async function* through(source: AsyncIterable<Uint8Array>, transform: Transform): AsyncIterable<Uint8Array> {
  let failure: { reason: unknown } | undefined;
  async function* watched() {
    try {
      yield* source;
    } catch (reason) {
      failure = { reason };
      throw reason;
    }
  }
  pipeline(watched(), transform, () => {});
  try {
    for await (const chunk of transform) yield chunk as Uint8Array;
  } catch (cause) {
    if (failure !== undefined) throw failure.reason;
    throw new CompressionError(cause instanceof Error ? cause.message : 'damaged data', { cause });
  }
}

async function* once(data: Uint8Array): AsyncIterable<Uint8Array> {
  yield data;
}

async function collect(source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) {
    signal.throwIfAborted();
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
}
