import { resourceExhausted } from '../domain/status-error.ts';
import { DeadlineError, deadlineSignal, linkSignals, raceSignal } from '../lib/abort.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Service } from '../lib/lifecycle.ts';

/** One download, for all who wait for it. */
interface Download<T> {
  readonly promise: Promise<T>;
  /** When it began, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly abort: (reason: unknown) => void;
  /** Monotonic time up to which somebody gives it. */
  endsAt: number;
  timer: Timer | undefined;
}

/** Who asks for a download, and for how long. */
export interface DownloadWish {
  /** Equal for requests that one download answers. */
  readonly key: string;
  /** A download that began earlier won't do; in milliseconds since the Unix epoch. */
  readonly notBefore: number;
  /** Milliseconds that it may take for this caller. */
  readonly timeout: number;
}

/** What came of one, and when it began. */
export interface DownloadOutcome<T> {
  readonly value: T;
  readonly startedAt: number;
}

/** How soon a caller should come again that found too many under way, in milliseconds. */
const RETRY_DELAY_MS = 5_000;

/**
 * Downloads of which requests that are alike share one: a farm of builds asks for the same archive at the same moment.
 *
 * A download goes on when a caller leaves, so that it is there for the next call (the Remote Asset API asks for that),
 * and ends when the time that any caller gave it has passed.
 */
export class SharedDownloads<T> implements Service {
  readonly name = 'downloads';
  readonly #clock: Clock;
  readonly #maximum: number;
  readonly #running = new Map<string, Download<T>>();
  readonly #all = new Set<Download<T>>();

  /** @param maximum how many may be under way or waiting: they outlive the calls that began them. */
  constructor(clock: Clock, maximum: number) {
    this.#clock = clock;
    this.#maximum = maximum;
  }

  /**
   * Waits for a download, and begins it where none like it is under way.
   *
   * @throws DeadlineError when the caller's time has passed; the signal's reason when that is aborted; RESOURCE_EXHAUSTED
   *   when too many are under way; what the download throws.
   */
  async join(
    wish: DownloadWish,
    begin: (signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<DownloadOutcome<T>> {
    signal.throwIfAborted();
    const found = this.#running.get(wish.key);
    const download = found !== undefined && found.startedAt >= wish.notBefore ? found : this.#begin(wish.key, begin);
    this.#extend(download, wish.timeout);
    using link = deadlineSignal(this.#clock, wish.timeout, signal);
    return { value: await raceSignal(download.promise, link.signal), startedAt: download.startedAt };
  }

  async start(): Promise<void> {}

  /** Breaks off what nobody waits for any more: the server has ended its calls before. */
  async stop(): Promise<void> {
    const ended = [...this.#all].map(({ promise, abort }) => {
      abort(new DOMException('the server stops', 'AbortError'));
      return promise.catch(() => {});
    });
    await Promise.all(ended);
  }

  #begin(key: string, begin: (signal: AbortSignal) => Promise<T>): Download<T> {
    if (this.#all.size >= this.#maximum) {
      throw resourceExhausted(`${this.#maximum} downloads are under way or waiting already`, RETRY_DELAY_MS);
    }
    const link = linkSignals();
    const download: Download<T> = {
      // In a turn of its own, so that the entry stands before it can end.
      promise: Promise.resolve().then(() => begin(link.signal)),
      startedAt: this.#clock.now(),
      abort: (reason) => link.abort(reason),
      endsAt: 0,
      timer: undefined,
    };
    this.#running.set(key, download);
    this.#all.add(download);
    const end = () => {
      download.timer?.cancel();
      this.#all.delete(download);
      if (this.#running.get(key) === download) this.#running.delete(key);
    };
    download.promise.then(end, end);
    return download;
  }

  #extend(download: Download<T>, timeout: number): void {
    const endsAt = this.#clock.monotonic() + timeout;
    if (endsAt <= download.endsAt) return;
    download.timer?.cancel();
    download.endsAt = endsAt;
    download.timer = this.#clock.setTimer(timeout, () => download.abort(new DeadlineError(timeout)));
  }
}
