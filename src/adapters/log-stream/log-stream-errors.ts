import { StatusCode } from '../../domain/status-code.ts';
import { notFound, resourceExhausted, StatusError } from '../../domain/status-error.ts';

/** When a writer that found no room should come again, in milliseconds. */
const RETRY_DELAY_MS = 5_000;

/** Why an addition was refused, the same for every store. */
export type AppendRefusal = 'absent' | 'gap' | 'finished' | 'too-long' | 'full';

/**
 * The error for a refused addition.
 *
 * @param size bytes that the stream has.
 * @param maximumStreamBytes that it may have.
 */
export function appendError(refusal: AppendRefusal, size: number, maximumStreamBytes: number): StatusError {
  switch (refusal) {
    case 'absent':
      return notFound('there is no such log stream, or it was not used for too long');
    case 'gap':
      return new StatusError(
        StatusCode.OUT_OF_RANGE,
        `write_offset: lies behind what the log stream has, which is ${size} bytes`,
      );
    case 'finished':
      return new StatusError(
        StatusCode.FAILED_PRECONDITION,
        `the log stream was finished at ${size} bytes; nothing can be added`,
      );
    case 'too-long':
      return new StatusError(
        StatusCode.RESOURCE_EXHAUSTED,
        `the log stream would be longer than ${maximumStreamBytes} bytes; it has ${size}`,
      );
    case 'full':
      return resourceExhausted('there is no room for more log streams at present', RETRY_DELAY_MS);
  }
}
