import { describe, expect, test } from 'vitest';
import { StatusCode, statusCodeFromNumber, statusCodeName } from './status-code.ts';
import { invalidArgument, isInfrastructureCode, StatusError } from './status-error.ts';

describe('StatusError.from', () => {
  test('keeps a StatusError as it is', () => {
    const error = invalidArgument('name', 'is empty');
    expect(StatusError.from(error)).toBe(error);
  });

  test('turns an abort into CANCELLED', () => {
    expect(StatusError.from(AbortSignal.abort().reason).code).toBe(StatusCode.CANCELLED);
  });

  test('does not show the text of anything else, and keeps it as the cause', () => {
    const secret = new Error('password=hunter2');
    const error = StatusError.from(secret);
    expect(error.code).toBe(StatusCode.INTERNAL);
    expect(error.message).not.toContain('hunter2');
    expect(error.cause).toBe(secret);
  });
});

test('wrapping adds context and keeps code and details', () => {
  const error = invalidArgument('name', 'is empty').wrap('Failed to read action');
  expect(error.message).toBe('Failed to read action: name: is empty');
  expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
  expect(error.details).toEqual([{ kind: 'bad-request', violations: [{ field: 'name', description: 'is empty' }] }]);
});

test('a number that is no code reads as UNKNOWN', () => {
  expect(statusCodeFromNumber(99)).toBe(StatusCode.UNKNOWN);
  expect(statusCodeName(99)).toBe('CODE_99');
});

test.each(Object.entries(StatusCode))('%s is an infrastructure failure or not', (name, code) => {
  expect(isInfrastructureCode(code)).toBe(['UNKNOWN', 'INTERNAL', 'UNAVAILABLE', 'ABORTED'].includes(name));
});
