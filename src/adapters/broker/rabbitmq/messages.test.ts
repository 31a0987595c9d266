import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRequirement } from '../../../domain/platform.ts';
import { decodeQueueHint, decodeUpdates, decodeWork, encodeQueueHint, encodeUpdates, encodeWork } from './messages.ts';

const work = {
  jobId: 'ab-00000000-0000-4000-8000-000000000001',
  attempt: 2,
  instanceName: 'team/a',
  requirement: createRequirement([{ name: 'OSFamily', value: 'linux' }]),
  priority: -3,
  offeredAt: 5_000,
  queuedAt: 1_000.5,
  actionDigest: { digestFunction: 1, hash: 'ab'.repeat(32), sizeBytes: 5 },
  tool: 'bazel',
  target: '//a:b',
  mnemonic: 'CppCompile',
  invocation: 'i',
};

test('work survives the wire, and can be read in the console', () => {
  expect(decodeWork(encodeWork(work))).toEqual(work);
  expect(encodeWork(work).toString()).toContain('"target":"//a:b"');
});

test('a target of any length is cut, and the message stays small', () => {
  const long = encodeWork({ ...work, target: 'x'.repeat(1_000_000) });
  expect(long.byteLength).toBeLessThan(10_000);
  expect(decodeWork(long)?.jobId).toBe(work.jobId);
});

test('updates of every kind survive the wire', () => {
  const updates = [
    { kind: 'job-changed', jobId: work.jobId, version: 7 },
    { kind: 'lease-ended', botSessionName: 'main/x', leaseId: `${work.jobId}.1` },
    { kind: 'poll-superseded', botSessionName: 'main/x', pollId: 'poll-1' },
  ] as const;
  expect(decodeUpdates(encodeUpdates(updates))).toEqual(updates);
});

test('the hint of a queue survives the wire', () => {
  const { instanceName, requirement } = work;
  const hint = { queue: { instanceName, requirement }, paused: true };
  expect(decodeQueueHint(encodeQueueHint(hint))).toEqual(hint);
});

test('whatever else is in a queue is not believed, and does not throw', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((json) => Buffer.from(json)),
      ),
      (body) => {
        expect(decodeWork(body)).toBeUndefined();
        expect(decodeUpdates(body)).toBeUndefined();
        expect(decodeQueueHint(body)).toBeUndefined();
      },
    ),
  );
});
