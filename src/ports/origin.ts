import type { OriginHeader } from '../domain/asset-qualifiers.ts';
import type { Digest } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import { StatusError } from '../domain/status-error.ts';
import type { IntegrityChecksum } from '../domain/subresource-integrity.ts';
import type { BlobStore } from './blob-store.ts';

/** What is to be fetched, and what it must be. */
export interface OriginRequest {
  readonly uri: string;
  /** Sent to the URI's own origin, and to no other that it refers to. */
  readonly headers: readonly OriginHeader[];
  /** For the digest of the blob. */
  readonly digestFunction: DigestFunction;
  /** The content must have one of these. */
  readonly checksums: readonly IntegrityChecksum[] | undefined;
  /** What the origin must say that it is, in lower case; undefined for anything. */
  readonly mediaType: string | undefined;
}

/** An archive that is to be fetched, and what of it. */
export interface ArchiveRequest extends OriginRequest {
  /** The folder in it that becomes the root, by its segments; none for all. */
  readonly folder: readonly string[];
}

/**
 * A failure that is the origin's, or of a rule about origins: `FetchBlobResponse.status` tells it, and the call itself
 * goes well. Anything else that a download throws is a failure of the call.
 */
export class OriginError extends StatusError {}

/** Where content comes from that nobody has pushed. */
export interface Origin {
  /** Whether this URI's scheme is one that is fetched. */
  serves(uri: string): boolean;

  /**
   * Downloads content into a store. Nothing of it is visible there before it is whole and has its checksum; memory does
   * not grow with its size.
   *
   * @throws OriginError: NOT_FOUND; PERMISSION_DENIED where the origin or our rules refuse; ABORTED where it is not what
   *   was asked for; RESOURCE_EXHAUSTED where it is too large.
   * @throws UNAVAILABLE or RESOURCE_EXHAUSTED, with RetryInfo, where another try may go well; what the store throws.
   */
  download(request: OriginRequest, blobs: BlobStore, signal: AbortSignal): Promise<Digest>;

  /**
   * Downloads an archive, and unpacks it into a store: its files, and the Directories over them in their canonical form.
   * The checksums are those of the archive, and nothing of it is unpacked before it has them.
   *
   * @returns the digest of the root Directory.
   * @throws as `download` does; OriginError also: UNIMPLEMENTED for formats that are not known; ABORTED for an archive
   *   that is damaged or leads out of its folder; NOT_FOUND where the wanted folder is not in it; RESOURCE_EXHAUSTED where
   *   it unpacks to too much. Blobs that nothing refers to may stay in the store.
   */
  unpack(request: ArchiveRequest, blobs: BlobStore, signal: AbortSignal): Promise<Digest>;
}
