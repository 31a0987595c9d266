import type { Digest } from '../domain/digest.ts';

/** Trees of directories, as a server gives them in one call. */
export interface TreeClient {
  /**
   * The encoded Directories of a tree, in no order, as far as the server has them.
   *
   * Nothing about them is checked. Whoever asks can do without: any failure only means to read them one by one.
   *
   * @throws StatusError as the server does, UNIMPLEMENTED included; the signal's reason.
   */
  readTree(rootDigest: Digest, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
