import type { Digest } from './digest.ts';
import type { Hasher } from './digest-function.ts';
import { invalidArgument } from './status-error.ts';

/**
 * Follows the bytes of a blob that arrive in order, and tells whether they are what a digest names.
 *
 * Length is checked as bytes arrive, so that a client that sends without end is stopped at the first byte too many.
 */
export class DigestVerifier {
  readonly digest: Digest;
  readonly #hasher: Hasher;
  #received = 0;

  constructor(digest: Digest) {
    this.digest = digest;
    this.#hasher = digest.digestFunction.createHasher();
  }

  /** How many bytes have arrived. */
  get receivedBytes(): number {
    return this.#received;
  }

  /** @throws INVALID_ARGUMENT when this makes more bytes than the digest names; the chunk is then not counted. */
  update(chunk: Uint8Array): void {
    if (this.#received + chunk.byteLength > this.digest.sizeBytes) {
      throw invalidArgument(
        'digest.size_bytes',
        `more bytes came than the ${this.digest.sizeBytes} that the digest of blob ${this.digest.hash} names`,
      );
    }
    this.#hasher.update(chunk);
    this.#received += chunk.byteLength;
  }

  /** All bytes have come. @throws INVALID_ARGUMENT when there are too few or the hash is another one. */
  finish(): void {
    if (this.#received !== this.digest.sizeBytes) throw wrongSize(this.digest, this.#received);
    const hash = this.#hasher.digest();
    if (hash !== this.digest.hash) throw wrongHash(this.digest, hash);
  }
}

/** Checks a whole blob. @throws INVALID_ARGUMENT when length or hash do not fit the digest. */
export function verifyBlob(digest: Digest, data: Uint8Array): void {
  if (data.byteLength !== digest.sizeBytes) throw wrongSize(digest, data.byteLength);
  const hash = digest.digestFunction.hash(data);
  if (hash !== digest.hash) throw wrongHash(digest, hash);
}

function wrongSize(digest: Digest, received: number) {
  return invalidArgument(
    'digest.size_bytes',
    `${received} bytes came, where the digest of blob ${digest.hash} names ${digest.sizeBytes}`,
  );
}

function wrongHash(digest: Digest, hash: string) {
  return invalidArgument(
    'digest.hash',
    `the ${digest.digestFunction.name} hash of the bytes is ${hash}, where the digest says ${digest.hash}`,
  );
}
