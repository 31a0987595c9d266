import { type DigestFunction, digestFunctionBySegment } from './digest-function.ts';
import { invalidArgument } from './status-error.ts';

/** One checksum of a Subresource Integrity value, its hash in lower-case hexadecimal as everywhere here. */
export interface IntegrityChecksum {
  readonly digestFunction: DigestFunction;
  readonly hash: string;
}

/** The algorithms that the W3C recommendation knows; others may stand beside them and are passed over, as it has it. */
const ALGORITHMS: ReadonlySet<string> = new Set(['sha256', 'sha384', 'sha512']);

const CHECKSUM = /^([a-z0-9]+)-([A-Za-z0-9+/_-]+={0,2})(?:\?.*)?$/;

/**
 * Reads a value such as `sha256-uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=`; several stand apart by white space, and
 * content that has one of them will do.
 *
 * @param field what the value stands in, for messages.
 * @returns those of known algorithms; none of them may be known.
 * @throws INVALID_ARGUMENT when one is no checksum.
 */
export function parseIntegrity(value: string, field: string): IntegrityChecksum[] {
  const texts = value.split(/\s+/).filter((each) => each !== '');
  if (texts.length === 0) throw invalidArgument(field, 'holds no checksum');
  return texts.flatMap((text) => {
    const [, algorithm = '', encoded = ''] = CHECKSUM.exec(text) ?? [];
    if (algorithm === '') throw invalidArgument(field, 'a checksum is written ALGORITHM-BASE64');
    const digestFunction = ALGORITHMS.has(algorithm) ? digestFunctionBySegment(algorithm) : undefined;
    if (digestFunction === undefined) return [];
    const hash = Buffer.from(encoded, 'base64').toString('hex');
    if (hash.length !== digestFunction.hashLength) {
      throw invalidArgument(field, `a ${algorithm} checksum has ${digestFunction.hashLength / 2} bytes in base64`);
    }
    return [{ digestFunction, hash }];
  });
}

/** The value for one hash, as clients write it. @param hash lower-case hexadecimal. */
export function formatIntegrity(algorithm: 'sha256' | 'sha384' | 'sha512', hash: string): string {
  return `${algorithm}-${Buffer.from(hash, 'hex').toString('base64')}`;
}
