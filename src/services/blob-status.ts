import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { Logger } from '../lib/log.ts';
import type { Status } from '../proto/google/rpc/status.ts';
import { statusToWire } from '../wire/status.ts';

/**
 * The status of one blob of a batch out of what its reading or writing threw. What is of our own machinery is logged,
 * since nobody else will: the call itself succeeds.
 *
 * @throws the signal's reason when the whole call was aborted.
 */
export function blobStatus(thrown: unknown, logger: Logger, signal: AbortSignal): Status {
  signal.throwIfAborted();
  const error = StatusError.from(thrown);
  if (error.code === StatusCode.INTERNAL) logger.error({ error: thrown }, 'a blob of a batch failed');
  return statusToWire(error);
}
