import type { LogStreamState } from '../../ports/log-stream-store.ts';

/** What somebody waits for. */
interface Waiter<News> {
  readonly isAnswer: (news: News) => boolean;
  readonly wake: () => void;
}

/** Those who wait for news of something, by its key. */
export class Waiters<News> {
  readonly #byKey = new Map<string, Set<Waiter<News>>>();

  /** What is waited for. */
  keys(): IterableIterator<string> {
    return this.#byKey.keys();
  }

  get isEmpty(): boolean {
    return this.#byKey.size === 0;
  }

  /** Resolves with the first news that `isAnswer` takes. @throws the signal's reason. */
  wait(key: string, isAnswer: (news: News) => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const leave = () => {
        signal.removeEventListener('abort', onAbort);
        const waiters = this.#byKey.get(key);
        waiters?.delete(waiter);
        if (waiters?.size === 0) this.#byKey.delete(key);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const waiter: Waiter<News> = {
        isAnswer,
        wake: () => {
          leave();
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const waiters = this.#byKey.get(key);
      if (waiters === undefined) this.#byKey.set(key, new Set([waiter]));
      else waiters.add(waiter);
    });
  }

  /** Wakes those who wait for such news. */
  tell(key: string, news: News): void {
    for (const waiter of this.#byKey.get(key) ?? []) if (waiter.isAnswer(news)) waiter.wake();
  }
}

/** What a reader who has `size` bytes waits for: more, the end, or that it is gone. */
export function isNewsFor(size: number): (state: LogStreamState | undefined) => boolean {
  return (state) => (state === undefined ? size > 0 : state.size > size || state.finished);
}
