import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { RunOutcome } from '../ports/runner.ts';

const KILLED_EXIT_CODE = 128 + 9;
const SIGNAL_EXIT_CODES = 128;

/** 128 + n for a signal, as shells have it and Bazel reads it. */
export function exitCodeOf(outcome: RunOutcome): number {
  switch (outcome.kind) {
    case 'exited':
    case 'not-started':
      return outcome.exitCode;
    case 'signalled':
      return SIGNAL_EXIT_CODES + outcome.signal;
    case 'timed-out':
    case 'log-too-large':
      return KILLED_EXIT_CODE;
  }
}

/** The status of a command that did not come to its end: DEADLINE_EXCEEDED, or FAILED_PRECONDITION beyond a limit. */
export function statusOf(
  outcome: RunOutcome,
  timeoutMilliseconds: number,
  maxLogBytes: number,
): StatusError | undefined {
  switch (outcome.kind) {
    case 'timed-out':
      return new StatusError(
        StatusCode.DEADLINE_EXCEEDED,
        `the command was killed after its timeout of ${timeoutMilliseconds / 1_000} s`,
      );
    case 'log-too-large':
      return new StatusError(
        StatusCode.FAILED_PRECONDITION,
        `the command was killed: it printed more than the worker's limit of ${maxLogBytes} bytes`,
      );
    case 'exited':
    case 'signalled':
    case 'not-started':
      return undefined;
  }
}
