import { setMaxListeners } from 'node:events';
import type { Clock } from './clock.ts';

/** Who waits for a signal, beside the one listener that it has for all of them. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `listener` once the signal is aborted; the signal must not be aborted yet.
 *
 * An EventTarget looks through all its listeners whenever one comes or goes. The signal that says that a server shuts
 * down has one for every call that runs, and these are tens of thousands.
 *
 * @returns how to let go of it.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const listeners = listenersOf(signal);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
  };
}

function listenersOf(signal: AbortSignal): Set<() => void> {
  const known = waiting.get(signal);
  if (known !== undefined) return known;
  const listeners = new Set<() => void>();
  const tellAll = () => {
    for (const each of listeners) each();
  };
  waiting.set(signal, listeners);
  signal.addEventListener('abort', tellAll, { once: true });
  return listeners;
}

/** A signal with the means to let go of what it listens to. */
export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
  /** Aborts the linked signal alone. */
  abort(reason?: unknown): void;
}

/**
 * A signal that is aborted when any of its sources is.
 *
 * `AbortSignal.any` keeps its dependants alive as long as the source lives; a server whose shut-down signal lives for
 * months must not collect one listener per call. Dispose of the link when the call ends.
 */
export function linkSignals(...sources: readonly AbortSignal[]): LinkedSignal {
  const controller = new AbortController();
  // One listener for each of its parts, however many: no leak to warn of.
  setMaxListeners(0, controller.signal);
  const unlink: Array<() => void> = [];
  const dispose = () => {
    for (const off of unlink.splice(0)) off();
  };
  for (const source of sources) {
    if (source.aborted) {
      controller.abort(source.reason);
      break;
    }
    const abort = () => {
      dispose();
      controller.abort(source.reason);
    };
    unlink.push(onAbort(source, abort));
  }
  return {
    signal: controller.signal,
    abort(reason) {
      dispose();
      controller.abort(reason);
    },
    [Symbol.dispose]: dispose,
  };
}

/** What a deadline signal is aborted with. */
export class DeadlineError extends Error {
  constructor(milliseconds: number) {
    super(`deadline of ${milliseconds} ms passed`);
    this.name = 'DeadlineError';
  }
}

/** A link that is also aborted, with a DeadlineError, `milliseconds` from now. */
export function deadlineSignal(clock: Clock, milliseconds: number, ...sources: readonly AbortSignal[]): LinkedSignal {
  const link = linkSignals(...sources);
  const timer = clock.setTimer(milliseconds, () => link.abort(new DeadlineError(milliseconds)));
  return {
    signal: link.signal,
    abort(reason) {
      timer.cancel();
      link.abort(reason);
    },
    [Symbol.dispose]() {
      timer.cancel();
      link[Symbol.dispose]();
    },
  };
}

/**
 * The promise's outcome, or the signal's reason if that comes first. The promise goes on; its late failure is
 * swallowed.
 */
export function raceSignal<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      promise.catch(() => {});
      reject(signal.reason);
      return;
    }
    const letGo = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(letGo);
  });
}
