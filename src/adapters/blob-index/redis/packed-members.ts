import type { Digest } from '../../../domain/digest.ts';
import { MAXIMUM_MEMBER_BYTES, writeMember } from '../blob-member.ts';

/** Blobs as one argument of a script: a byte of length before each. */
export function packMembers(digests: readonly Digest[]): Buffer {
  const packed = Buffer.allocUnsafe(digests.length * (1 + MAXIMUM_MEMBER_BYTES));
  let at = 0;
  for (const digest of digests) {
    const end = writeMember(digest, packed, at + 1);
    packed[at] = end - at - 1;
    at = end;
  }
  return packed.subarray(0, at);
}
