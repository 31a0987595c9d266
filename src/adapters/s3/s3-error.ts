import { StatusCode } from '../../domain/status-code.ts';
import { resourceExhausted, StatusError, unavailable } from '../../domain/status-error.ts';

/** How soon a caller should come again, in milliseconds. The request has been tried several times by then. */
const RETRY_DELAY = 1_000;

/** What servers answer that have no room left, or whose operator has set a limit: AWS, Ceph, MinIO and others. */
const FULL = new Set([
  'EntityTooLarge',
  'InsufficientCapacity',
  'InsufficientStorage',
  'QuotaExceeded',
  'StorageFull',
  'TooManyObjects',
  'XMinioAdminBucketQuotaExceeded',
  'XMinioStorageFull',
]);
const INSUFFICIENT_STORAGE = 507;
const TOO_MANY_REQUESTS = 429;
const REQUEST_TIMEOUT = 408;
const RANGE_NOT_SATISFIABLE = 416;
const CONFLICT = 409;
const PRECONDITION_FAILED = 412;
const NOT_IMPLEMENTED = 501;

/** What the SDK's errors have in common, as far as it is used here. */
interface ServiceFailure {
  readonly name: string;
  readonly message: string;
  readonly $metadata?: { readonly httpStatusCode?: number | undefined; readonly requestId?: string | undefined };
}

/** Whether the server says that there is no such object, upload or bucket. */
export function isNotThere(thrown: unknown): boolean {
  const { name, $metadata } = failureOf(thrown);
  return name !== 'NoSuchBucket' && $metadata?.httpStatusCode === 404;
}

/** Whether the server says that an object is shorter than the range that was asked for. */
export function isBehindEnd(thrown: unknown): boolean {
  return failureOf(thrown).$metadata?.httpStatusCode === RANGE_NOT_SATISFIABLE;
}

/** Whether the server says that an object which must be new is there already, or is being written by somebody else. */
export function isTaken(thrown: unknown): boolean {
  const status = failureOf(thrown).$metadata?.httpStatusCode;
  return status === PRECONDITION_FAILED || status === CONFLICT;
}

/** Whether the server says that it does not know what is asked of it. */
export function isNotImplemented(thrown: unknown): boolean {
  return failureOf(thrown).$metadata?.httpStatusCode === NOT_IMPLEMENTED;
}

/**
 * The StatusError for what a request to S3 threw.
 *
 * What may pass (no connection, no answer in time, a busy or failing server) is UNAVAILABLE with RetryInfo; a server
 * without room is RESOURCE_EXHAUSTED with RetryInfo; the rest (a missing bucket, refused credentials) is the operator's to
 * mend, and INTERNAL.
 */
export function statusOfS3Error(thrown: unknown): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const { name, message, $metadata } = failureOf(thrown);
  const status = $metadata?.httpStatusCode;
  if (FULL.has(name) || status === INSUFFICIENT_STORAGE) return resourceExhausted('S3 has no room left', RETRY_DELAY);
  // The SDK's errors hold the request, signature and all, and the connection: none of that belongs into a log.
  const answer = status === undefined ? '' : ` (HTTP ${status}, request ${$metadata?.requestId ?? 'without a name'})`;
  const cause = new Error(`${name}: ${message}${answer}`);
  const passes = status === undefined || status >= 500 || status === TOO_MANY_REQUESTS || status === REQUEST_TIMEOUT;
  // Without a status there was no answer at all, unless the SDK itself found no credentials to ask with.
  if (passes && name !== 'CredentialsProviderError') {
    return unavailable('S3 cannot be reached or is busy at present', RETRY_DELAY, cause);
  }
  return new StatusError(StatusCode.INTERNAL, 'internal error; the log of the server has the details', { cause });
}

function failureOf(thrown: unknown): ServiceFailure {
  return thrown instanceof Error ? thrown : { name: 'Error', message: String(thrown) };
}
