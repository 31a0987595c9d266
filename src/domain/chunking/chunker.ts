/** Finds where to cut the content of one blob, chunk by chunk. */
export interface ChunkCutter {
  /**
   * The length of the next chunk.
   *
   * @param data the content from the chunk's first byte on: `Chunker.windowBytes`, or all that are left.
   */
  cut(data: Uint8Array): number;
}

/** A chunking function with its parameters: equal stretches of different blobs become equal chunks. */
export interface Chunker {
  /** How many bytes a cutter has to see for one cut. */
  readonly windowBytes: number;
  /** Blobs up to this size are not cut. */
  readonly undividedBytes: number;
  /** A cutter for one blob, from its first byte on. */
  begin(): ChunkCutter;
}
