import { createDigest, type Digest } from '../../domain/digest.ts';
import { digestFunctionByWireValue } from '../../domain/digest-function.ts';

/** How many bytes a member has at most: a number of a function, nine bytes of size, 64 of hash. */
export const MAXIMUM_MEMBER_BYTES = 1 + 9 + 64;

/**
 * Writes a digest in as few bytes as it takes: the number of the digest function, the size, low seven bits first, and the
 * hash. A small blob of SHA-256 takes 35. @returns where it ends.
 */
export function writeMember({ digestFunction, hash, sizeBytes }: Digest, into: Buffer, start: number): number {
  let at = start;
  into[at++] = digestFunction.wireValue;
  let rest = sizeBytes;
  while (rest >= 128) {
    into[at++] = (rest % 128) + 128;
    rest = Math.floor(rest / 128);
  }
  into[at++] = rest;
  return at + into.write(hash, at, 'hex');
}

/** The digest of a member, or undefined where it is none. */
export function decodeMember(member: Uint8Array): Digest | undefined {
  const digestFunction = digestFunctionByWireValue(member[0] ?? 0);
  if (digestFunction === undefined) return undefined;
  let size = 0;
  let factor = 1;
  let at = 1;
  for (;;) {
    const byte = member[at++];
    if (byte === undefined || at > 10) return undefined;
    size += (byte & 127) * factor;
    if (byte < 128) break;
    factor *= 128;
  }
  const hash = Buffer.from(member.buffer, member.byteOffset + at, member.byteLength - at).toString('hex');
  if (hash.length !== digestFunction.hashLength || !Number.isSafeInteger(size)) return undefined;
  return createDigest(digestFunction, hash, size);
}
