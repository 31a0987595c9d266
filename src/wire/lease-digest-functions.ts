import { type DigestFunction, digestFunctionByWireValue } from '../domain/digest-function.ts';
import { Digest, ExecuteOperationMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Any } from '../proto/google/protobuf/any.ts';
import { anyMessageName } from './any.ts';

/** The trailer by which a bot learns of each of its leases what an Action does not say: encoded ExecuteOperationMetadata. */
export const METADATA_TRAILER = 'executeoperationmetadata-bin';

/**
 * Tells the digest function of a lease where its digests don't: those of BLAKE3 are as long as those of SHA-256.
 *
 * Trailers name no lease. They name the action, and a payload is its action's exactly if its hash is.
 *
 * @param trailers values of `METADATA_TRAILER`; what is not readable is passed over.
 * @returns undefined for a payload whose digests tell the function by their length.
 */
export function leaseDigestFunctions(trailers: readonly Uint8Array[]): (payload: Any) => DigestFunction | undefined {
  const functions = new Map<DigestFunction, Set<string>>();
  for (const { actionDigest, digestFunction } of trailers.map(decode)) {
    const known = digestFunctionByWireValue(digestFunction);
    if (known?.resourceNameSegment === undefined || actionDigest === undefined) continue;
    const hashes = functions.get(known) ?? new Set();
    functions.set(known, hashes.add(actionDigest.hash));
  }
  return (payload) => {
    const named = anyMessageName(payload).endsWith('.Digest');
    for (const [digestFunction, hashes] of functions) {
      if (hashes.has(named ? hashOf(payload.value) : digestFunction.hash(payload.value))) return digestFunction;
    }
    return undefined;
  };
}

function decode(encoded: Uint8Array): Pick<ExecuteOperationMetadata, 'actionDigest' | 'digestFunction'> {
  try {
    return ExecuteOperationMetadata.decode(encoded);
  } catch {
    return { actionDigest: undefined, digestFunction: 0 };
  }
}

function hashOf(encodedDigest: Uint8Array): string {
  try {
    return Digest.decode(encodedDigest).hash;
  } catch {
    return '';
  }
}
