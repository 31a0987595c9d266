import { createHash } from 'node:crypto';
import type { DigestFunction } from './digest-function.ts';

/**
 * A digest function that Node's cryptography brings. Its hashes have a length of their own, by which it is inferred.
 *
 * @param algorithm the name by which Node knows it.
 */
export function cryptoDigestFunction(
  name: string,
  wireValue: number,
  algorithm: string,
  hashLength: number,
): DigestFunction {
  const hash = (data: Uint8Array) => createHash(algorithm).update(data).digest('hex');
  return {
    name,
    wireValue,
    hashLength,
    resourceNameSegment: undefined,
    emptyHash: hash(new Uint8Array(0)),
    createHasher() {
      const hash = createHash(algorithm);
      return {
        update(data) {
          hash.update(data);
        },
        digest: () => hash.digest('hex'),
      };
    },
    hash,
  };
}
