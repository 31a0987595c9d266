import { loadBlake3 } from '../../lib/blake3.ts';
import type { DigestFunction } from './digest-function.ts';

const native = await loadBlake3();

/** BLAKE3 with hashes of 256 bits, or undefined on a machine for which there is no native code of it. */
export const BLAKE3: DigestFunction | undefined =
  native === undefined
    ? undefined
    : {
        name: 'BLAKE3',
        wireValue: 9,
        hashLength: 64,
        resourceNameSegment: 'blake3',
        emptyHash: native.hash(new Uint8Array(0)),
        ...native,
      };
