import { ReplyError } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../../domain/status-code.ts';
import { StatusError } from '../../../domain/status-error.ts';
import { statusOfRedisError } from './redis-error.ts';

describe('an error of Redis', () => {
  test.each([
    ['LOADING Redis is loading the dataset in memory', StatusCode.UNAVAILABLE],
    ["READONLY You can't write against a read only replica.", StatusCode.UNAVAILABLE],
    ['CLUSTERDOWN The cluster is down', StatusCode.UNAVAILABLE],
    ["OOM command not allowed when used memory > 'maxmemory'.", StatusCode.RESOURCE_EXHAUSTED],
  ])('%s passes, and says when to come again', (message, code) => {
    const status = statusOfRedisError(new ReplyError(message));
    expect(status).toMatchObject({ code, details: [{ kind: 'retry-info' }] });
  });

  test('that no state of the server explains is INTERNAL, without its text', () => {
    const status = statusOfRedisError(new ReplyError('ERR secret'));
    expect(status.code).toBe(StatusCode.INTERNAL);
    expect(status.message).not.toContain('secret');
  });

  test('of the connection is UNAVAILABLE', () => {
    expect(statusOfRedisError(new Error('Command timed out')).code).toBe(StatusCode.UNAVAILABLE);
  });

  test('that has a status already keeps it', () => {
    const status = new StatusError(StatusCode.NOT_FOUND, 'gone');
    expect(statusOfRedisError(status)).toBe(status);
  });
});
