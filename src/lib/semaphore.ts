/**
 * Lets a limited number of holders in at once, in order of arrival.
 *
 * Used wherever fan-out must be bounded: open files, requests on one channel, leases of one worker.
 */
export class Semaphore {
  #free: number;
  readonly #waiting: Array<() => void> = [];

  /** @param permits how many may hold it at once; at least 1. */
  constructor(permits: number) {
    if (!Number.isInteger(permits) || permits < 1)
      throw new RangeError(`permits must be a positive integer: ${permits}`);
    this.#free = permits;
  }

  /** Runs `task` once there is room. @throws the signal's reason when it is aborted while waiting. */
  async run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#acquire(signal);
    try {
      return await task();
    } finally {
      this.#release();
    }
  }

  #acquire(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = () => {
        const index = this.#waiting.indexOf(enter);
        if (index >= 0) this.#waiting.splice(index, 1);
        reject(signal.reason);
      };
      this.#waiting.push(enter);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

/** Maps items with at most `limit` at once; stops at the first failure and throws it once all that began have ended. */
export async function mapConcurrently<T, R>(
  items: Iterable<T>,
  limit: number,
  signal: AbortSignal,
  task: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const iterator = items[Symbol.iterator]();
  let index = 0;
  let failure: { reason: unknown } | undefined;
  const work = async () => {
    while (failure === undefined && !signal.aborted) {
      const next = iterator.next();
      if (next.done) return;
      const mine = index++;
      try {
        results[mine] = await task(next.value, mine);
      } catch (reason) {
        failure ??= { reason };
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, work));
  if (failure !== undefined) throw failure.reason;
  signal.throwIfAborted();
  return results;
}
