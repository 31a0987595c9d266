import { BLAKE3 } from './digest-functions/blake3.ts';
import type { DigestFunction } from './digest-functions/digest-function.ts';
import { MD5 } from './digest-functions/md5.ts';
import { SHA1 } from './digest-functions/sha1.ts';
import { SHA256 } from './digest-functions/sha256.ts';
import { SHA256TREE } from './digest-functions/sha256tree.ts';
import { SHA384 } from './digest-functions/sha384.ts';
import { SHA512 } from './digest-functions/sha512.ts';

export type { DigestFunction, Hasher } from './digest-functions/digest-function.ts';
export { SHA256 } from './digest-functions/sha256.ts';

/** Every function that this build of the program knows, in the order in which Capabilities lists them. */
export const DIGEST_FUNCTIONS: readonly DigestFunction[] = [
  SHA256,
  BLAKE3,
  SHA256TREE,
  SHA384,
  SHA512,
  SHA1,
  MD5,
].filter((each) => each !== undefined);

const BY_WIRE_VALUE = new Map(DIGEST_FUNCTIONS.map((each) => [each.wireValue, each]));
const BY_SEGMENT = new Map(DIGEST_FUNCTIONS.map((each) => [each.name.toLowerCase(), each]));
const INFERRED = new Map(
  DIGEST_FUNCTIONS.filter((each) => each.resourceNameSegment === undefined).map((each) => [each.hashLength, each]),
);

/** The function of this number, or undefined where it is not known. 0 (UNKNOWN) is never known: infer it instead. */
export function digestFunctionByWireValue(value: number): DigestFunction | undefined {
  return BY_WIRE_VALUE.get(value);
}

/**
 * The function that a client means that states none, told by the length of a hash.
 *
 * REAPI allows this only for functions whose segment is left out of resource names.
 */
export function inferDigestFunction(hashLength: number): DigestFunction | undefined {
  return INFERRED.get(hashLength);
}

/** The function whose segment this is in a resource name. */
export function digestFunctionBySegment(segment: string): DigestFunction | undefined {
  return BY_SEGMENT.get(segment);
}
