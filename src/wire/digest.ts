import { createDigest, type Digest } from '../domain/digest.ts';
import {
  DIGEST_FUNCTIONS,
  type DigestFunction,
  digestFunctionByWireValue,
  inferDigestFunction,
} from '../domain/digest-function.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type {
  DigestFunction_Value,
  Digest as WireDigest,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';

/**
 * The digest function of a request.
 *
 * @param value the request's digest_function; 0 where the client is older than the field.
 * @param sampleHash a hash of the request, by whose length the function is inferred when `value` is 0.
 * @throws INVALID_ARGUMENT when the function is not one that this server offers.
 */
export function digestFunctionFromWire(value: number, sampleHash: string | undefined): DigestFunction {
  if (value === 0) {
    const inferred = sampleHash === undefined ? DIGEST_FUNCTIONS[0] : inferDigestFunction(sampleHash.length);
    if (inferred !== undefined) return inferred;
    throw invalidArgument(
      'digest_function',
      `not set, and no function has hashes of ${sampleHash?.length ?? 0} characters; this server offers ${offered()}`,
    );
  }
  const known = digestFunctionByWireValue(value);
  if (known !== undefined) return known;
  throw invalidArgument('digest_function', `function ${value} is not offered; this server offers ${offered()}`);
}

function offered(): string {
  return DIGEST_FUNCTIONS.map((each) => each.name).join(', ');
}

/** @throws INVALID_ARGUMENT when the digest is unset or malformed. */
export function digestFromWire(wire: WireDigest | undefined, digestFunction: DigestFunction, field: string): Digest {
  if (wire === undefined) throw invalidArgument(field, 'is not set');
  return createDigest(digestFunction, wire.hash, wire.sizeBytes, field);
}

/**
 * The digests of a list.
 *
 * FindMissingBlobs brings thousands at a time: the name of a digest within the list is made only for a message.
 *
 * @throws INVALID_ARGUMENT when one is malformed.
 */
export function digestsFromWire(wires: readonly WireDigest[], digestFunction: DigestFunction, field: string): Digest[] {
  const digests: Digest[] = [];
  try {
    for (const { hash, sizeBytes } of wires) digests.push(createDigest(digestFunction, hash, sizeBytes));
  } catch {
    digestFromWire(wires[digests.length], digestFunction, `${field}[${digests.length}]`);
  }
  return digests;
}

export function digestToWire(digest: Digest): WireDigest {
  return { hash: digest.hash, sizeBytes: BigInt(digest.sizeBytes) };
}

export function digestFunctionToWire(digestFunction: DigestFunction): DigestFunction_Value {
  return digestFunction.wireValue as DigestFunction_Value;
}
