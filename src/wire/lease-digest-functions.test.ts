import { describe, expect, test } from 'vitest';
import { DIGEST_FUNCTIONS, type DigestFunction } from '../domain/digest-function.ts';
import { Digest, ExecuteOperationMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { packAny } from './any.ts';
import { leaseDigestFunctions } from './lease-digest-functions.ts';

const action = Buffer.from('an encoded action');
const payload = packAny('build.bazel.remote.execution.v2.Action', action);

function trailer(digestFunction: DigestFunction, data = action): Uint8Array {
  const actionDigest = { hash: digestFunction.hash(data), sizeBytes: BigInt(data.byteLength) };
  const digestFunctionValue = digestFunction.wireValue as ExecuteOperationMetadata['digestFunction'];
  return ExecuteOperationMetadata.encode(
    ExecuteOperationMetadata.create({ actionDigest, digestFunction: digestFunctionValue }),
  ).finish();
}

const stated = DIGEST_FUNCTIONS.filter((each) => each.resourceNameSegment !== undefined);

describe.each(stated)('$name', (digestFunction) => {
  test('an action is told by its trailer among others', () => {
    const trailers = [trailer(DIGEST_FUNCTIONS[0] as DigestFunction), trailer(digestFunction)];
    expect(leaseDigestFunctions(trailers)(payload)).toBe(digestFunction);
  });

  test('the digest of an action is told by its trailer', () => {
    const digest = Digest.encode({ hash: digestFunction.hash(action), sizeBytes: BigInt(action.byteLength) }).finish();
    const named = packAny('build.bazel.remote.execution.v2.Digest', digest);
    expect(leaseDigestFunctions([trailer(digestFunction)])(named)).toBe(digestFunction);
  });

  test('the trailer of another action tells nothing', () => {
    expect(leaseDigestFunctions([trailer(digestFunction, Buffer.from('another'))])(payload)).toBeUndefined();
  });
});

test('what is no metadata is passed over', () => {
  expect(leaseDigestFunctions([Buffer.from('garbage'), Buffer.alloc(0)])(payload)).toBeUndefined();
});
