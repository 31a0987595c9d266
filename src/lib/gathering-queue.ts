import { linkSignals, raceSignal } from './abort.ts';
import { Deferred } from './deferred.ts';

/** One thing that waits to be done together with others. */
export interface Gathered<Item, Result> {
  readonly item: Item;
  resolve(result: Result): void;
  reject(reason: unknown): void;
}

export interface GatheringQueueOptions<Item, Result> {
  /** How heavy an item is; a group weighs no more than `maxWeight` unless one item alone does. */
  weigh(item: Item): number;
  maxWeight(signal: AbortSignal): Promise<number>;
  /** Items in a group at most. */
  readonly maxCount: number;
  /** Groups under way at most; what comes meanwhile makes the next group larger. */
  readonly maxConcurrent: number;
  /**
   * Does a group. Settles each of its items; those that it leaves are rejected with what it throws. `signal` is aborted
   * when nobody waits for any of them.
   */
  process(group: ReadonlyArray<Gathered<Item, Result>>, signal: AbortSignal): Promise<void>;
}

interface Waiting<Item, Result> extends Gathered<Item, Result> {
  readonly signal: AbortSignal;
}

/** Makes few large requests of many small ones: what is asked for in one turn of the event loop goes together. */
export class GatheringQueue<Item, Result> {
  readonly #options: GatheringQueueOptions<Item, Result>;
  #waiting: Array<Waiting<Item, Result>> = [];
  #running = 0;
  #scheduled = false;

  constructor(options: GatheringQueueOptions<Item, Result>) {
    this.#options = options;
  }

  /** The item's result. @throws the signal's reason when it is aborted first; the others of the group go on. */
  add(item: Item, signal: AbortSignal): Promise<Result> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = new Deferred<Result>();
    this.#waiting.push({ item, signal, resolve, reject });
    this.#schedule();
    return raceSignal(promise, signal);
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0 || this.#running >= this.#options.maxConcurrent) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running += 1;
    let group: Array<Waiting<Item, Result>> = [];
    const first = this.#waiting.find((each) => !each.signal.aborted);
    const link = linkSignals();
    const forget: Array<() => void> = [];
    try {
      const maxWeight = first === undefined ? 0 : await this.#options.maxWeight(first.signal);
      group = this.#take(maxWeight);
      let live = group.length;
      for (const { signal } of group) {
        const onAbort = () => {
          live -= 1;
          if (live === 0) link.abort(signal.reason);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        forget.push(() => signal.removeEventListener('abort', onAbort));
      }
      if (this.#waiting.length > 0) this.#schedule();
      if (group.length > 0) await this.#options.process(group, link.signal);
    } catch (reason) {
      // Whoever asked for the weight has gone, and that is no answer for the others: one of them asks anew.
      if (group.length === 0 && first?.signal.aborted === true) return;
      if (group.length === 0) group = this.#waiting.splice(0);
      for (const each of group) each.reject(reason);
    } finally {
      for (const each of forget) each();
      this.#running -= 1;
      this.#schedule();
    }
  }

  #take(maxWeight: number): Array<Waiting<Item, Result>> {
    const options = this.#options;
    const group: Array<Waiting<Item, Result>> = [];
    let weight = 0;
    let taken = 0;
    for (const each of this.#waiting) {
      if (!each.signal.aborted) {
        const own = options.weigh(each.item);
        if (group.length > 0 && (weight + own > maxWeight || group.length >= options.maxCount)) break;
        weight += own;
        group.push(each);
      }
      taken += 1;
    }
    this.#waiting.splice(0, taken);
    return group;
  }
}
