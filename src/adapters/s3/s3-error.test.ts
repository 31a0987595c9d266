import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../domain/status-code.ts';
import { notFound } from '../../domain/status-error.ts';
import { isNotThere, statusOfS3Error } from './s3-error.ts';

/** What the SDK throws. */
function failure(name: string, httpStatusCode?: number): Error {
  const $metadata = httpStatusCode === undefined ? { attempts: 1 } : { httpStatusCode, requestId: 'r1' };
  return Object.assign(new Error('some text'), { name, $metadata, $response: { secret: 'signature' } });
}

describe('a failure of S3', () => {
  test.each([
    ['TimeoutError', undefined, StatusCode.UNAVAILABLE],
    ['ECONNREFUSED', undefined, StatusCode.UNAVAILABLE],
    ['SlowDown', 503, StatusCode.UNAVAILABLE],
    ['TooManyRequests', 429, StatusCode.UNAVAILABLE],
    ['InternalError', 500, StatusCode.UNAVAILABLE],
    ['QuotaExceeded', 403, StatusCode.RESOURCE_EXHAUSTED],
    ['XMinioStorageFull', 507, StatusCode.RESOURCE_EXHAUSTED],
    ['InsufficientStorage', 507, StatusCode.RESOURCE_EXHAUSTED],
  ])('%s (%s) passes, and says when to come again', (name, status, code) => {
    expect(statusOfS3Error(failure(name, status))).toMatchObject({ code, details: [{ kind: 'retry-info' }] });
  });

  test.each([
    ['NoSuchBucket', 404],
    ['AccessDenied', 403],
    ['SignatureDoesNotMatch', 403],
    ['CredentialsProviderError', undefined],
  ])('%s (%s) is INTERNAL, its reason for the log alone and without the request', (name, status) => {
    const error = statusOfS3Error(failure(name, status));
    expect(error.code).toBe(StatusCode.INTERNAL);
    expect(error.message).not.toContain(name);
    expect(String(error.cause)).toContain(name);
    expect(JSON.stringify(error.cause)).not.toContain('signature');
  });

  test('that is no failure of S3 stays as it is', () => {
    const error = notFound('gone');
    expect(statusOfS3Error(error)).toBe(error);
  });

  test('tells a missing object from a missing bucket', () => {
    expect(isNotThere(failure('NotFound', 404))).toBe(true);
    expect(isNotThere(failure('NoSuchUpload', 404))).toBe(true);
    expect(isNotThere(failure('NoSuchBucket', 404))).toBe(false);
    expect(isNotThere(failure('AccessDenied', 403))).toBe(false);
  });
});
