import { createDeflateRaw, createInflateRaw } from 'node:zlib';
import type { Compression } from './compression.ts';
import { ZlibCompression } from './zlib-compression.ts';

/** RFC 1951 Deflate without any header, as in ZIP files. */
export const deflate: Compression = new ZlibCompression({
  createCompressor: () => createDeflateRaw(),
  createDecompressor: () => createInflateRaw(),
});
