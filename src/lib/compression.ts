/** A format of compressed data, both ways. Each implementation is one file. */
export interface Compression {
  /** The compressed form of a small piece of data. */
  compress(data: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
  /**
   * The data that was compressed. Cut data may give less than there was: compare the length, or a hash.
   *
   * @param maxBytes no more than this is ever given, whatever the compressed data claims.
   * @throws CompressionError when the data is damaged or unpacks to more.
   */
  decompress(data: Uint8Array, maxBytes: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Compresses as it goes. Lets go of the source when its consumer stops. */
  compressStream(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>;
  /**
   * Unpacks as it goes, in small chunks: a consumer that stops early has not paid for the rest.
   *
   * @param maxBytes no more than this is ever given.
   * @throws CompressionError as `decompress` does; what the source throws, unchanged.
   */
  decompressStream(source: AsyncIterable<Uint8Array>, maxBytes: number): AsyncIterable<Uint8Array>;
}

/** Compressed data that is not what its format says, or unpacks to more than it may. */
export class CompressionError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CompressionError';
  }
}

/** What a bomb is answered with. */
export function unpacksToMore(maxBytes: number): CompressionError {
  return new CompressionError(`unpacks to more than ${maxBytes} bytes`);
}
