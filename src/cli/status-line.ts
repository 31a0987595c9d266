import type { Clock, Timer } from '../lib/clock.ts';
import type { Output } from './command-context.ts';
import { LiveDisplay } from './live-display.ts';

/** A person sees no more than this many pictures a second as movement. */
const REDRAW_MS = 100;

/**
 * One line at the foot of a terminal that says what goes on now. Where no terminal is, it is silent: a log of redrawn
 * lines helps nobody. What takes less than a moment is not drawn at all.
 */
export class StatusLine {
  readonly #isShown: boolean;
  readonly #display: LiveDisplay;
  readonly #clock: Clock;
  #describe: (() => string) | undefined;
  #timer: Timer | undefined;

  constructor(output: Output, clock: Clock) {
    this.#isShown = output.isTTY === true;
    this.#display = new LiveDisplay(output);
    this.#clock = clock;
  }

  /** Shows what `describe` says, again and again, until `clear`. */
  show(describe: () => string): void {
    if (!this.#isShown) return;
    this.#describe = describe;
    this.#timer ??= this.#clock.setTimer(REDRAW_MS, () => this.#redraw());
  }

  /** Removes the line, so that others may print. */
  clear(): void {
    this.#describe = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#display.show([]);
  }

  #redraw(): void {
    if (this.#describe === undefined) return;
    this.#display.show([this.#describe()]);
    this.#timer = this.#clock.setTimer(REDRAW_MS, () => this.#redraw());
  }
}
