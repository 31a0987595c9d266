import { type DigestFunction, digestFunctionByWireValue, inferDigestFunction } from '../domain/digest-function.ts';
import type { ActionStreamNames } from '../domain/log-stream.ts';
import { Digest, ExecuteOperationMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Any } from '../proto/google/protobuf/any.ts';
import { anyMessageName } from './any.ts';

/** The trailer by which a bot learns of each of its leases what an Action does not say: encoded ExecuteOperationMetadata. */
export const METADATA_TRAILER = 'executeoperationmetadata-bin';

/** What a trailer tells of a lease. */
export interface TrailedDetails {
  /** Where the digests don't tell it: those of BLAKE3 are as long as those of SHA-256. */
  readonly digestFunction: DigestFunction | undefined;
  /** The names to write what the action prints; undefined where the server wants none. */
  readonly logStreams: ActionStreamNames | undefined;
}

/** A trailer that tells something. */
interface Trailer extends TrailedDetails {
  readonly hash: string;
  /** Makes the hash of the action. */
  readonly hashedBy: DigestFunction;
}

/**
 * Tells what the trailers of an answer say of each of its leases, which are to be asked for in their order.
 *
 * Trailers name no lease. They name the action, and a payload is its action's exactly if its hash is. Of several leases
 * of one action each gets the streams of a trailer of its own.
 *
 * @param trailers values of `METADATA_TRAILER`; what is not readable is passed over.
 */
export function leaseDetails(trailers: readonly Uint8Array[]): (payload: Any) => TrailedDetails {
  const told = trailers.flatMap(decode);
  const taken = new Set<Trailer>();
  return (payload) => {
    const hashes = new Map<DigestFunction, string>();
    const isOf = ({ hash, hashedBy }: Trailer) => {
      const known = hashes.get(hashedBy) ?? actionHash(payload, hashedBy);
      hashes.set(hashedBy, known);
      return known === hash;
    };
    const matching = told.filter(isOf);
    const own = matching.find((each) => !taken.has(each));
    if (own !== undefined) taken.add(own);
    return { digestFunction: matching[0]?.digestFunction, logStreams: own?.logStreams };
  };
}

function decode(encoded: Uint8Array): Trailer[] {
  try {
    const metadata = ExecuteOperationMetadata.decode(encoded);
    const { actionDigest, stdoutStreamName: stdout, stderrStreamName: stderr } = metadata;
    const stated = digestFunctionByWireValue(metadata.digestFunction);
    const digestFunction = stated?.resourceNameSegment === undefined ? undefined : stated;
    const logStreams = stdout === '' || stderr === '' ? undefined : { stdout, stderr };
    const hashedBy = stated ?? inferDigestFunction(actionDigest?.hash.length ?? 0);
    const isTelling = digestFunction !== undefined || logStreams !== undefined;
    if (!isTelling || actionDigest === undefined || hashedBy === undefined) return [];
    return [{ hash: actionDigest.hash, hashedBy, digestFunction, logStreams }];
  } catch {
    return [];
  }
}

function actionHash(payload: Any, digestFunction: DigestFunction): string {
  if (!anyMessageName(payload).endsWith('.Digest')) return digestFunction.hash(payload.value);
  try {
    return Digest.decode(payload.value).hash;
  } catch {
    return '';
  }
}
