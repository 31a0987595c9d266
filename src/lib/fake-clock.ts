import type { Clock, Timer } from './clock.ts';

interface PendingTimer extends Timer {
  readonly due: number;
  readonly sequence: number;
  readonly callback: () => void;
}

/** A clock for tests: it stands still until `advance` moves it, and runs timers in the order in which they fall due. */
export class FakeClock implements Clock {
  #now: number;
  #elapsed = 0;
  #sequence = 0;
  readonly #timers = new Set<PendingTimer>();

  /** @param start milliseconds since the Unix epoch; defaults to 2026-01-01T00:00:00Z. */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start;
  }

  now(): number {
    return this.#now + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  setTimer(milliseconds: number, callback: () => void): Timer {
    const timer: PendingTimer = {
      due: this.#elapsed + Math.max(milliseconds, 0),
      sequence: this.#sequence++,
      callback,
      cancel: () => {
        this.#timers.delete(timer);
      },
    };
    this.#timers.add(timer);
    return timer;
  }

  /** How many timers wait. A test of shut-down asserts that it is zero. */
  get pendingTimers(): number {
    return this.#timers.size;
  }

  /** Sets the wall clock without moving elapsed time, as an operator or NTP would. */
  setWallClock(now: number): void {
    this.#now = now - this.#elapsed;
  }

  /** Moves time on, runs what falls due in order, and lets promises settle after each timer. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds;
    await settle();
    for (;;) {
      const next = this.#nextDue(end);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#elapsed = Math.max(this.#elapsed, next.due);
      next.callback();
      await settle();
    }
    this.#elapsed = end;
    await settle();
  }

  #nextDue(end: number): PendingTimer | undefined {
    let best: PendingTimer | undefined;
    for (const timer of this.#timers) {
      if (timer.due > end) continue;
      if (best === undefined || timer.due < best.due || (timer.due === best.due && timer.sequence < best.sequence)) {
        best = timer;
      }
    }
    return best;
  }
}

/** Lets every promise that is ready run its continuations, and theirs. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
