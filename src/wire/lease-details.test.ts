import { describe, expect, test } from 'vitest';
import { DIGEST_FUNCTIONS, type DigestFunction, SHA256 } from '../domain/digest-function.ts';
import { Digest, ExecuteOperationMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { packAny } from './any.ts';
import { leaseDetails } from './lease-details.ts';

const action = Buffer.from('an encoded action');
const payload = packAny('build.bazel.remote.execution.v2.Action', action);

function trailer(digestFunction: DigestFunction, data = action, streams = ''): Uint8Array {
  const actionDigest = { hash: digestFunction.hash(data), sizeBytes: BigInt(data.byteLength) };
  const digestFunctionValue = digestFunction.wireValue as ExecuteOperationMetadata['digestFunction'];
  return ExecuteOperationMetadata.encode(
    ExecuteOperationMetadata.create({
      actionDigest,
      digestFunction: digestFunctionValue,
      stdoutStreamName: streams && `${streams}.stdout`,
      stderrStreamName: streams && `${streams}.stderr`,
    }),
  ).finish();
}

const stated = DIGEST_FUNCTIONS.filter((each) => each.resourceNameSegment !== undefined);

describe.each(stated)('$name', (digestFunction) => {
  test('an action is told by its trailer among others', () => {
    const trailers = [trailer(DIGEST_FUNCTIONS[0] as DigestFunction), trailer(digestFunction)];
    expect(leaseDetails(trailers)(payload).digestFunction).toBe(digestFunction);
  });

  test('the digest of an action is told by its trailer', () => {
    const digest = Digest.encode({ hash: digestFunction.hash(action), sizeBytes: BigInt(action.byteLength) }).finish();
    const named = packAny('build.bazel.remote.execution.v2.Digest', digest);
    expect(leaseDetails([trailer(digestFunction)])(named).digestFunction).toBe(digestFunction);
  });

  test('the trailer of another action tells nothing', () => {
    expect(leaseDetails([trailer(digestFunction, Buffer.from('another'))])(payload).digestFunction).toBeUndefined();
  });
});

test('what is no metadata is passed over', () => {
  expect(leaseDetails([Buffer.from('garbage'), Buffer.alloc(0)])(payload).digestFunction).toBeUndefined();
});

describe('the names of log streams', () => {
  const streamsOf = (name: string) => ({ stdout: `${name}.stdout`, stderr: `${name}.stderr` });

  test.each(DIGEST_FUNCTIONS)('are told by the trailer of the action, with $name', (digestFunction) => {
    const trailers = [trailer(digestFunction, Buffer.from('another'), 'other'), trailer(digestFunction, action, 'own')];
    expect(leaseDetails(trailers)(payload).logStreams).toEqual(streamsOf('own'));
  });

  test('of two leases of one action each has its own', () => {
    const detailsOf = leaseDetails([trailer(SHA256, action, 'first'), trailer(SHA256, action, 'second')]);
    expect([payload, payload].map((each) => detailsOf(each).logStreams)).toEqual(['first', 'second'].map(streamsOf));
  });

  test('are told by nobody where the server has none', () => {
    expect(leaseDetails([trailer(SHA256)])(payload).logStreams).toBeUndefined();
  });
});
