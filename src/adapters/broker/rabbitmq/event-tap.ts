import type { Clock } from '../../../lib/clock.ts';
import { LruMap } from '../../../lib/lru-map.ts';

/** How often an event goes out although nobody took the last of its kind, in milliseconds. */
const TRIED_EVERY = 250;

/** Kinds of events that are remembered: states times instances. */
const KINDS_KEPT = 10_000;

/** Nobody has taken the last event of a kind that came back. */
interface Unheard {
  /** When another goes out all the same. */
  readonly triedAt: number;
  /** Whether that one is under way. */
  readonly trying: boolean;
}

/**
 * Knows which events nobody has bound a queue for, so that a tap that nobody uses costs next to nothing.
 *
 * RabbitMQ tells no publisher of bindings, but it returns what no queue takes. After such a return the events of that
 * routing key are held back but for one now and then, which finds out whether someone listens by now. A farm with few
 * events shows each of them; a busy one takes up to half a second to notice a listener.
 */
export class EventTap {
  readonly #clock: Clock;
  readonly #unheard = new LruMap<string, Unheard>(KINDS_KEPT);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether an event is to be published now. */
  wants(routingKey: string): boolean {
    const unheard = this.#unheard.get(routingKey);
    if (unheard === undefined) return true;
    const now = this.#clock.monotonic();
    if (now < unheard.triedAt) return false;
    // The last try has not come back, so that somebody took it.
    if (unheard.trying) this.#unheard.delete(routingKey);
    else this.#unheard.set(routingKey, { triedAt: now + TRIED_EVERY, trying: true });
    return true;
  }

  /** An event came back: nobody has bound a queue for it. */
  returned(routingKey: string): void {
    this.#unheard.set(routingKey, { triedAt: this.#clock.monotonic() + TRIED_EVERY, trying: false });
  }
}
