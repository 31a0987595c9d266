import { type Digest, digestKey } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { ForwardingBlobBackend } from './forwarding-blob-backend.ts';

/**
 * A store that nobody may change, such as the cache of a trusted build farm seen from laptops. Writing what is stored
 * already succeeds, since clients do that without asking; all other writes are PERMISSION_DENIED.
 */
export class ReadOnlyBlobStore extends ForwardingBlobBackend {
  override async write(
    digest: Digest,
    _source: Uint8Array | AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const [missing] = await this.inner.findMissing([digest], signal);
    if (missing !== undefined) throw refusal(digest);
  }

  override delete(digest: Digest): Promise<void> {
    return Promise.reject(refusal(digest));
  }

  override openWriter(digest: Digest): Promise<BlobWriter> {
    return Promise.reject(refusal(digest));
  }
}

function refusal(digest: Digest): StatusError {
  return new StatusError(
    StatusCode.PERMISSION_DENIED,
    `blob ${digestKey(digest)} cannot be changed: this store is read-only`,
  );
}
