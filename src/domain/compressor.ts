/** A format in which content may travel: Compressor.Value of REAPI in lower case, as in resource names. */
export type Compressor = 'identity' | 'zstd' | 'deflate' | 'brotli';

/** Those that are not plain content, by their segment in resource names. */
const COMPRESSORS: ReadonlyMap<string, Compressor> = new Map([
  ['zstd', 'zstd'],
  ['deflate', 'deflate'],
  ['brotli', 'brotli'],
]);

/** The compressor of this segment of a `compressed-blobs` name. `identity` has none. */
export function compressorBySegment(segment: string): Compressor | undefined {
  return COMPRESSORS.get(segment);
}
