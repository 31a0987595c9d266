import type { Random } from './ids.ts';

/** How long to wait between tries. */
export interface BackoffOptions {
  /** Milliseconds before the second try. Defaults to 100. */
  readonly initial?: number;
  /** No wait is longer than this, in milliseconds. Defaults to 10 000. */
  readonly maximum?: number;
  /** Each wait is this many times the one before. Defaults to 1.6. */
  readonly factor?: number;
  /** Part of each wait that is random, 0 to 1, so that many callers do not come back at once. Defaults to 0.3. */
  readonly jitter?: number;
}

/**
 * Milliseconds to wait after the given number of failures.
 *
 * @param failures 1 after the first failure.
 */
export function backoffDelay(failures: number, random: Random, options: BackoffOptions = {}): number {
  const { initial = 100, maximum = 10_000, factor = 1.6, jitter = 0.3 } = options;
  const full = Math.min(initial * factor ** (failures - 1), maximum);
  return full * (1 - jitter * random());
}
