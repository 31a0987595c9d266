import { StatusCode } from '../../domain/status-code.ts';
import { isInfrastructureCode, StatusError } from '../../domain/status-error.ts';
import { type BackoffOptions, backoffDelay } from '../../lib/backoff.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Random } from '../../lib/ids.ts';

export interface RetrierOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Tries in a row without progress, the first one included. Defaults to 5. */
  readonly attempts?: number;
  readonly backoff?: BackoffOptions;
  /** Longest wait that a server may ask for with RetryInfo, in milliseconds. Defaults to 60 000. */
  readonly longestAskedDelay?: number;
}

/** What a task may tell the Retrier. */
export interface Attempt {
  /** 1 for the first. */
  readonly number: number;
  /** Something was gained that the next try will build on: the count of tries begins anew. */
  madeProgress(): void;
}

/** The failures of one task. */
export interface FailureCount {
  /**
   * Resolves when it is time to try again.
   *
   * @param progress whether the failed try has gained something that the next will build on.
   * @throws `thrown` when there is no other try.
   */
  waitAfter(thrown: unknown, progress: boolean, signal: AbortSignal): Promise<void>;
}

/**
 * Tries again what failed for a reason that may pass: the machinery failed (UNAVAILABLE, INTERNAL, UNKNOWN, ABORTED), or
 * the server asked for it by RetryInfo, whose delay is then kept.
 *
 * Only for calls that may be made twice.
 */
export class Retrier {
  readonly #options: RetrierOptions;

  constructor(options: RetrierOptions) {
    this.#options = options;
  }

  /** @throws the last failure; the signal's reason when it is aborted. */
  async run<T>(task: (attempt: Attempt) => Promise<T>, signal: AbortSignal): Promise<T> {
    const failures = this.countFailures();
    for (let number = 1; ; number++) {
      let progress = false;
      try {
        return await task({ number, madeProgress: () => (progress = true) });
      } catch (thrown) {
        await failures.waitAfter(thrown, progress, signal);
      }
    }
  }

  /** For what tries again by a loop of its own, such as a generator. */
  countFailures(): FailureCount {
    const { clock, random, attempts = 5, backoff, longestAskedDelay = 60_000 } = this.#options;
    let failures = 0;
    return {
      async waitAfter(thrown, progress, signal) {
        signal.throwIfAborted();
        failures = progress ? 1 : failures + 1;
        if (failures >= attempts || !isRetryable(thrown)) throw thrown;
        const asked = askedDelay(thrown);
        const delay =
          asked === undefined ? backoffDelay(failures, random, backoff) : Math.min(asked, longestAskedDelay);
        await sleep(clock, delay, signal);
      },
    };
  }
}

/** Whether another try may go well. */
export function isRetryable(thrown: unknown): thrown is StatusError {
  if (!(thrown instanceof StatusError)) return false;
  return (
    isInfrastructureCode(thrown.code) ||
    (askedDelay(thrown) !== undefined && thrown.code !== StatusCode.FAILED_PRECONDITION)
  );
}

/** Milliseconds after which the server wants the call again. */
function askedDelay(error: StatusError): number | undefined {
  for (const detail of error.details) if (detail.kind === 'retry-info') return detail.retryDelayMilliseconds;
  return undefined;
}
