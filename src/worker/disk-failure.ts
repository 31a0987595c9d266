import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE', 'ENOMEM']);

/**
 * What a failure of the worker's own file system means to the server: UNAVAILABLE when the disk is full, so that the
 * job goes to another worker, else INTERNAL with the system's code. What is no failure of a file system stays as it is.
 */
export function diskFailure(thrown: unknown, context: string): unknown {
  if (!(thrown instanceof Error) || thrown instanceof StatusError) return thrown;
  const { code, syscall } = thrown as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return thrown;
  const status = FULL.has(code) ? StatusCode.UNAVAILABLE : StatusCode.INTERNAL;
  const why = FULL.has(code) ? `the worker's disk is full or out of handles (${code})` : `${syscall} failed (${code})`;
  return new StatusError(status, `${context}: ${why}`, { cause: thrown });
}

/** The system's code of a failed file operation, such as `ENOENT`. */
export function systemCode(thrown: unknown): string | undefined {
  return thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
}
