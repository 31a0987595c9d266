/** A timer that can be taken back. */
export interface Timer {
  /** Stops the timer; a timer that has fired ignores it. */
  cancel(): void;
}

/**
 * Time as the program sees it.
 *
 * Every class that needs the time or a timer takes a Clock by constructor, so that tests move time by hand and a
 * skewed host can be simulated.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, with a fraction of up to a microsecond. Can jump when the host's clock is set. */
  now(): number;
  /** Milliseconds from an arbitrary point; never goes back. For measuring durations. */
  monotonic(): number;
  /** Calls `callback` once, `milliseconds` from now. Does not keep the process alive. */
  setTimer(milliseconds: number, callback: () => void): Timer;
}

/** Node cuts longer delays to one millisecond; longer waits are made of several timers. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** By how much elapsed time and the host's clock may disagree before the host's counts, in milliseconds. */
const LARGEST_DRIFT_MS = 5;

/** The host's clock. */
export class SystemClock implements Clock {
  /** What the time of day was when elapsed time began. */
  #origin = performance.timeOrigin;

  /** Elapsed time has the fraction, but stands still while the machine sleeps, and does not hear of a clock that is set. */
  now(): number {
    const elapsed = performance.now();
    const hostTime = Date.now();
    if (Math.abs(hostTime - (this.#origin + elapsed)) > LARGEST_DRIFT_MS) this.#origin = hostTime - elapsed;
    return this.#origin + elapsed;
  }

  monotonic(): number {
    return performance.now();
  }

  setTimer(milliseconds: number, callback: () => void): Timer {
    let handle: NodeJS.Timeout;
    const arm = (rest: number) => {
      const step = Math.min(Math.max(rest, 0), LONGEST_TIMER_MS);
      handle = setTimeout(() => (rest > step ? arm(rest - step) : callback()), step);
      handle.unref();
    };
    arm(milliseconds);
    return { cancel: () => clearTimeout(handle) };
  }
}

/**
 * A clock that tells the time of day without a jump: it asks for it once, and goes on with elapsed time.
 *
 * For what one process keeps by deadline and nobody else sees: a host whose clock is set, or that has slept, must not
 * take all that is under way for lost.
 */
export class SteadyClock implements Clock {
  readonly #clock: Clock;
  readonly #origin: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#origin = clock.now() - clock.monotonic();
  }

  now(): number {
    return this.#origin + this.#clock.monotonic();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  setTimer(milliseconds: number, callback: () => void): Timer {
    return this.#clock.setTimer(milliseconds, callback);
  }
}

/**
 * Resolves `milliseconds` from now.
 *
 * @throws the signal's reason when it is aborted first.
 */
export function sleep(clock: Clock, milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = () => {
      timer.cancel();
      reject(signal.reason);
    };
    const timer = clock.setTimer(milliseconds, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
