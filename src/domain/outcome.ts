import type { StatusCode } from './status-code.ts';
import { type StatusDetail, StatusError } from './status-error.ts';

/** A status as a plain value, for records and messages. */
export interface PlainStatus {
  readonly code: StatusCode;
  readonly message: string;
  readonly details: readonly StatusDetail[];
}

/**
 * How a job ended.
 *
 * `response`: the encoded ExecuteResponse, made from what the bot reported or the action cache held.
 * `status`: it ended without an answer of a bot; clients get an ExecuteResponse with this status.
 */
export type Outcome =
  | { readonly kind: 'response'; readonly encoded: Uint8Array }
  | { readonly kind: 'status'; readonly status: PlainStatus };

export function statusOutcome(
  code: StatusCode,
  message: string,
  details: readonly StatusDetail[] = [],
): Outcome & { readonly kind: 'status' } {
  return { kind: 'status', status: { code, message, details } };
}

/** How soon a client should come again whose job no bot could take, in milliseconds. */
const COME_AGAIN_AFTER = 5_000;

/** As `statusOutcome`, with RetryInfo: the job found no room or no bot in time, and another try may. */
export function retryableOutcome(code: StatusCode, message: string): Outcome & { readonly kind: 'status' } {
  return statusOutcome(code, message, [{ kind: 'retry-info', retryDelayMilliseconds: COME_AGAIN_AFTER }]);
}

/** The error that a plain status stands for. */
export function plainStatusToError(status: PlainStatus): StatusError {
  return new StatusError(status.code, status.message, { details: status.details });
}

/** A rough weight in bytes, for bounds on memory. */
export function outcomeSize(outcome: Outcome): number {
  return outcome.kind === 'response' ? outcome.encoded.byteLength : outcome.status.message.length;
}
