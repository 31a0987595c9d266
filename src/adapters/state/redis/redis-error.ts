import { StatusCode } from '../../../domain/status-code.ts';
import { resourceExhausted, StatusError, unavailable } from '../../../domain/status-error.ts';

/** How soon a caller should come again, in milliseconds: about what a reconnect takes. */
export const RETRY_DELAY = 1_000;

/** What Redis answers when it can't serve now and may soon: starting, failing over, moving slots, busy, not writable. */
const PASSING = new Set([
  'BUSY',
  'CLUSTERDOWN',
  'LOADING',
  'MASTERDOWN',
  'MISCONF',
  'NOREPLICAS',
  'READONLY',
  'TRYAGAIN',
  'UNBLOCKED',
]);

/**
 * The StatusError for what a call to Redis threw.
 *
 * Trouble with the connection and states that pass are UNAVAILABLE with RetryInfo, a full Redis is RESOURCE_EXHAUSTED
 * with RetryInfo, and an answer that should not come is INTERNAL.
 */
export function statusOfRedisError(thrown: unknown): StatusError {
  if (thrown instanceof StatusError) return thrown;
  if (!(thrown instanceof Error) || thrown.name !== 'ReplyError') {
    return unavailable('Redis cannot be reached at present', RETRY_DELAY, thrown);
  }
  const word = thrown.message.split(' ', 1)[0] ?? '';
  if (word === 'OOM') return resourceExhausted('Redis has no memory left', RETRY_DELAY);
  if (PASSING.has(word)) return unavailable('Redis is not ready at present', RETRY_DELAY, thrown);
  return new StatusError(StatusCode.INTERNAL, 'internal error; the log of the server has the details', {
    cause: thrown,
  });
}
