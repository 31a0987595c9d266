import { InvalidArgumentError } from 'commander';
import { createDigest, type Digest } from '../domain/digest.ts';
import {
  DIGEST_FUNCTIONS,
  type DigestFunction,
  digestFunctionBySegment,
  inferDigestFunction,
} from '../domain/digest-function.ts';
import { StatusError } from '../domain/status-error.ts';

/**
 * Reads a digest as people and logs write it: `HASH/SIZE`, with the function in front where it has no name of its own
 * length: `blake3/HASH/SIZE`. A leading `blobs/`, as in messages about missing blobs, is passed over.
 */
export function parseDigestArgument(text: string): Digest {
  const parts = text.replace(/^\/?(blobs\/)?/, '').split('/');
  const segment = parts.length === 3 ? parts.shift() : undefined;
  const [hash = '', size = ''] = parts;
  if (parts.length !== 2 || !/^\d{1,16}$/.test(size)) {
    throw new InvalidArgumentError('A digest is written HASH/SIZE, such as e3b0c44298fc.../0.');
  }
  const digestFunction = segment === undefined ? inferDigestFunction(hash.length) : digestFunctionBySegment(segment);
  if (digestFunction === undefined) {
    throw new InvalidArgumentError(
      segment === undefined
        ? `No digest function has hashes of ${hash.length} characters; SHA-256 has 64.`
        : `There is no digest function '${segment}' here.`,
    );
  }
  try {
    return createDigest(digestFunction, hash, Number(size));
  } catch (thrown) {
    throw new InvalidArgumentError(thrown instanceof StatusError ? `${thrown.message}.` : 'It is no digest.');
  }
}

/** Reads the name of a digest function, in any case. */
export function parseDigestFunctionArgument(text: string): DigestFunction {
  const digestFunction = digestFunctionBySegment(text.toLowerCase());
  if (digestFunction !== undefined) return digestFunction;
  const offered = DIGEST_FUNCTIONS.map((each) => each.name.toLowerCase()).join(', ');
  throw new InvalidArgumentError(`It is one of ${offered}.`);
}
