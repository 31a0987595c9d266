/** What broken-off uploads have left, where every replica finds it. */
export interface PartialUploads {
  /** How many bytes of an upload are kept; 0 where nothing is known of it. */
  size(upload: string, signal: AbortSignal): Promise<number>;
  /**
   * Keeps bytes from `offset` on, of which those that are kept already are passed over.
   *
   * @returns how many bytes of the upload are kept now: fewer than arrived where they would leave a gap, or would be too
   *   many.
   */
  append(upload: string, offset: number, bytes: Uint8Array, signal: AbortSignal): Promise<number>;
  /** What is kept, from the first byte on. */
  read(upload: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Forgets an upload. One that is not known is ignored. */
  drop(upload: string, signal: AbortSignal): Promise<void>;
}
