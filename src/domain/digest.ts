import { type DigestFunction, SHA256 } from './digest-function.ts';
import { invalidArgument } from './status-error.ts';

/**
 * Names a blob: the function, the lower-case hexadecimal hash of its content, and its length in bytes.
 *
 * Values are made by `createDigest` or `digestOf` alone, so that whoever holds one may trust its form.
 */
export interface Digest {
  readonly digestFunction: DigestFunction;
  readonly hash: string;
  readonly sizeBytes: number;
}

/**
 * Checks the form of a digest that came from outside.
 *
 * @param field the field's name in the protocol, for the message.
 * @throws INVALID_ARGUMENT when the hash is not lower-case hexadecimal of the function's length, or the size is
 *   negative, fractional or above 2^53 - 1.
 */
export function createDigest(
  digestFunction: DigestFunction,
  hash: string,
  sizeBytes: number | bigint,
  field = 'digest',
): Digest {
  if (hash.length !== digestFunction.hashLength) {
    throw invalidArgument(
      `${field}.hash`,
      `a ${digestFunction.name} hash has ${digestFunction.hashLength} hexadecimal characters, not ${hash.length}`,
    );
  }
  if (!isLowerCaseHexadecimal(hash)) {
    throw invalidArgument(`${field}.hash`, 'a hash consists of the characters 0-9 and a-f');
  }
  const size = Number(sizeBytes);
  if (!Number.isSafeInteger(size) || size < 0) {
    throw invalidArgument(`${field}.size_bytes`, `a size is between 0 and 2^53 - 1, not ${sizeBytes}`);
  }
  return { digestFunction, hash, sizeBytes: size };
}

function isLowerCaseHexadecimal(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (!((code >= 48 && code <= 57) || (code >= 97 && code <= 102))) return false;
  }
  return true;
}

/** The digest of these bytes. */
export function digestOf(data: Uint8Array, digestFunction: DigestFunction = SHA256): Digest {
  return { digestFunction, hash: digestFunction.hash(data), sizeBytes: data.byteLength };
}

/** The digest of the empty blob, which every storage holds whether it was uploaded or not. */
export function emptyDigest(digestFunction: DigestFunction = SHA256): Digest {
  return { digestFunction, hash: digestFunction.emptyHash, sizeBytes: 0 };
}

/** Whether it is the digest of the empty blob. A size of 0 with another hash is the digest of nothing. */
export function isEmptyDigest(digest: Digest): boolean {
  return digest.sizeBytes === 0 && digest.hash === digest.digestFunction.emptyHash;
}

/**
 * A text that is equal for equal digests: `<hash>/<size>`, with the function in front unless it is SHA-256.
 * For keys of maps, file names and messages.
 */
export function digestKey(digest: Digest): string {
  const plain = `${digest.hash}/${digest.sizeBytes}`;
  return digest.digestFunction === SHA256 ? plain : `${digest.digestFunction.name.toLowerCase()}/${plain}`;
}

export function digestsEqual(a: Digest, b: Digest): boolean {
  return a.hash === b.hash && a.sizeBytes === b.sizeBytes && a.digestFunction === b.digestFunction;
}

/** The subject of a PreconditionFailure of type MISSING: `blobs/{digest_function/}{hash}/{size}`. */
export function missingBlobSubject(digest: Digest): string {
  const segment = digest.digestFunction.resourceNameSegment;
  return `blobs/${segment === undefined ? '' : `${segment}/`}${digest.hash}/${digest.sizeBytes}`;
}
