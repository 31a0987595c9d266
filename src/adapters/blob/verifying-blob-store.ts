import { type Digest, digestKey } from '../../domain/digest.ts';
import { DigestVerifier } from '../../domain/digest-verifier.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { Logger } from '../../lib/log.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import { ForwardingBlobBackend } from './forwarding-blob-backend.ts';

/**
 * Hashes what is read of a store that is not trusted to give back what it was given, such as one on another machine.
 *
 * Blobs that are read whole are checked, and their last chunk is held back until the hash is known to be right. Parts
 * of blobs cannot be checked. A blob that is wrong is deleted, so that the next upload mends it.
 */
export class VerifyingBlobStore extends ForwardingBlobBackend {
  readonly #logger: Logger;

  constructor(inner: BlobBackend, logger: Logger) {
    super(inner);
    this.#logger = logger;
  }

  override async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const isWhole = range.offset === 0 && (range.length ?? digest.sizeBytes) >= digest.sizeBytes;
    if (!isWhole) {
      yield* this.inner.read(digest, range, signal);
      return;
    }
    const verifier = new DigestVerifier(digest);
    let held: Uint8Array | undefined;
    for await (const chunk of this.inner.read(digest, range, signal)) {
      await this.#check(digest, () => verifier.update(chunk), signal);
      if (held !== undefined) yield held;
      held = chunk;
    }
    await this.#check(digest, () => verifier.finish(), signal);
    if (held !== undefined) yield held;
  }

  override async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    const data = await this.inner.readWhole(digest, signal);
    const verifier = new DigestVerifier(digest);
    await this.#check(
      digest,
      () => {
        verifier.update(data);
        verifier.finish();
      },
      signal,
    );
    return data;
  }

  async #check(digest: Digest, verify: () => void, signal: AbortSignal): Promise<void> {
    try {
      verify();
    } catch (cause) {
      this.#logger.error({ digest: digestKey(digest), err: cause }, 'the store gave wrong bytes; the blob is deleted');
      await this.inner.delete(digest, signal).catch((failure: unknown) => {
        this.#logger.warn({ digest: digestKey(digest), err: failure }, 'failed to delete a damaged blob');
      });
      throw new StatusError(
        StatusCode.DATA_LOSS,
        `the stored bytes of blob ${digestKey(digest)} are damaged and have been dropped: upload them anew`,
        { cause },
      );
    }
  }
}
