import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { Status } from '../proto/google/rpc/status.ts';
import { decodeStatus, statusFromWire, statusToWire } from './status.ts';
import {
  durationFromMilliseconds,
  durationToMilliseconds,
  timestampFromMilliseconds,
  timestampToMilliseconds,
} from './time.ts';

test('code, text and details survive the wire', () => {
  const error = new StatusError(StatusCode.FAILED_PRECONDITION, 'blobs are missing', {
    details: [
      { kind: 'precondition-failure', violations: [{ type: 'MISSING', subject: 'blobs/x/1', description: 'gone' }] },
      { kind: 'retry-info', retryDelayMilliseconds: 1_500 },
      { kind: 'bad-request', violations: [{ field: 'f', description: 'd' }] },
    ],
  });
  const back = statusFromWire(Status.decode(Status.encode(statusToWire(error)).finish()));
  expect(back.code).toBe(error.code);
  expect(back.message).toBe(error.message);
  expect(back.details).toEqual(error.details);
});

test('details that are garbage or of unknown type are dropped', () => {
  const status = statusFromWire({
    code: 13,
    message: 'm',
    details: [
      { typeUrl: 'type.googleapis.com/google.rpc.RetryInfo', value: Buffer.from([255, 255]) },
      { typeUrl: 'type.example.com/x', value: Buffer.alloc(0) },
    ],
  });
  expect(status.details).toEqual([]);
});

test('bytes that are no status decode to undefined', () => {
  expect(decodeStatus(Buffer.from([255, 255, 255]))).toBeUndefined();
});

test('times survive the wire to the microsecond', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 4e12 }), (milliseconds) => {
      expect(timestampToMilliseconds(timestampFromMilliseconds(milliseconds + 0.25))).toBeCloseTo(
        milliseconds + 0.25,
        3,
      );
      expect(durationToMilliseconds(durationFromMilliseconds(-milliseconds))).toBe(-milliseconds || 0);
    }),
  );
});
