import { constants, createBrotliCompress, createBrotliDecompress } from 'node:zlib';
import type { Compression } from './compression.ts';
import { ZlibCompression } from './zlib-compression.ts';

/** Node's default of 11 compresses some 100 times slower, for a few percent of size. */
const QUALITY = 4;

/** Brotli, RFC 7932. */
export const brotli: Compression = new ZlibCompression({
  createCompressor: () => createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: QUALITY } }),
  createDecompressor: () => createBrotliDecompress(),
});
