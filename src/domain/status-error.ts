import { StatusCode, statusCodeName } from './status-code.ts';

/** One broken rule of a PreconditionFailure. REAPI uses type MISSING with subject `blobs/<hash>/<size>`. */
export interface PreconditionViolation {
  readonly type: string;
  readonly subject: string;
  readonly description: string;
}

/** One bad field of a request, named as in the protocol, such as `action_digest.hash`. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** What a status carries beside its text, as google.rpc.error_details defines it. */
export type StatusDetail =
  | { readonly kind: 'retry-info'; readonly retryDelayMilliseconds: number }
  | { readonly kind: 'precondition-failure'; readonly violations: readonly PreconditionViolation[] }
  | { readonly kind: 'bad-request'; readonly violations: readonly FieldViolation[] };

export interface StatusErrorOptions {
  readonly details?: readonly StatusDetail[];
  /** What led to it. Logged, never sent. */
  readonly cause?: unknown;
}

/**
 * The one error that may leave a service: a gRPC code, and a text that says what to do.
 *
 * Anything else that is thrown is logged and answered INTERNAL without its text.
 */
export class StatusError extends Error {
  readonly code: StatusCode;
  readonly details: readonly StatusDetail[];

  constructor(code: StatusCode, message: string, options: StatusErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'StatusError';
    this.code = code;
    this.details = options.details ?? [];
  }

  /** The same code and details with a text in front, as in `Failed to read action: blob not found`. */
  wrap(context: string): StatusError {
    return new StatusError(this.code, `${context}: ${this.message}`, { details: this.details, cause: this });
  }

  override toString(): string {
    return `${statusCodeName(this.code)}: ${this.message}`;
  }

  /**
   * Makes a StatusError of anything thrown. A StatusError stays as it is; an abort becomes CANCELLED; the rest becomes
   * INTERNAL with a fixed text, and keeps what it was as its cause.
   */
  static from(thrown: unknown): StatusError {
    if (thrown instanceof StatusError) return thrown;
    if (thrown instanceof Error && thrown.name === 'AbortError') {
      return new StatusError(StatusCode.CANCELLED, 'the call was cancelled', { cause: thrown });
    }
    if (thrown instanceof Error && (thrown.name === 'DeadlineError' || thrown.name === 'TimeoutError')) {
      return new StatusError(StatusCode.DEADLINE_EXCEEDED, 'the deadline passed', { cause: thrown });
    }
    return new StatusError(StatusCode.INTERNAL, 'internal error; the log of the server has the details', {
      cause: thrown,
    });
  }
}

/** INVALID_ARGUMENT that names the field. @param field as in the protocol, such as `action_digest.hash`. */
export function invalidArgument(field: string, description: string): StatusError {
  return new StatusError(StatusCode.INVALID_ARGUMENT, `${field}: ${description}`, {
    details: [{ kind: 'bad-request', violations: [{ field, description }] }],
  });
}

/** UNAVAILABLE that asks the caller to come again after `retryDelayMilliseconds`. */
export function unavailable(message: string, retryDelayMilliseconds: number, cause?: unknown): StatusError {
  return new StatusError(StatusCode.UNAVAILABLE, message, {
    details: [{ kind: 'retry-info', retryDelayMilliseconds }],
    cause,
  });
}

/** RESOURCE_EXHAUSTED that asks the caller to come again after `retryDelayMilliseconds`. */
export function resourceExhausted(message: string, retryDelayMilliseconds: number): StatusError {
  return new StatusError(StatusCode.RESOURCE_EXHAUSTED, message, {
    details: [{ kind: 'retry-info', retryDelayMilliseconds }],
  });
}

/** NOT_FOUND. */
export function notFound(message: string): StatusError {
  return new StatusError(StatusCode.NOT_FOUND, message);
}

/**
 * Whether a failure is of the machinery and not of what was asked, so that another try elsewhere may go well.
 *
 * The one predicate for retries: INTERNAL, UNAVAILABLE, UNKNOWN and ABORTED.
 */
export function isInfrastructureCode(code: number): boolean {
  return (
    code === StatusCode.INTERNAL ||
    code === StatusCode.UNAVAILABLE ||
    code === StatusCode.UNKNOWN ||
    code === StatusCode.ABORTED
  );
}
