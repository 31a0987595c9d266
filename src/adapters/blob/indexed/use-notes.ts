import { type Digest, digestKey } from '../../../domain/digest.ts';
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { LruMap } from '../../../lib/lru-map.ts';
import type { BlobIndex } from '../../../ports/blob-index.ts';

/** Reads of so long a time are told together. */
const GATHER_MILLISECONDS = 500;
/** Or so many of them. */
const BATCH = 2_000;
/** Blobs of which this process remembers when it told of them last. */
const REMEMBERED = 50_000;

/**
 * Tells the index which blobs were read: in batches, and of no blob more often than the index' resolution asks for, so
 * that a read does not cost a call. What is not told when the process is killed is forgotten.
 */
export class UseNotes {
  readonly #index: BlobIndex;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onUnknown: (digests: readonly Digest[]) => Promise<void>;
  readonly #told = new LruMap<string, number>(REMEMBERED);
  readonly #stop = new AbortController();
  #noted: Digest[] = [];
  #timer: Timer | undefined;
  #telling: Promise<void> = Promise.resolve();

  /** @param onUnknown is given those that were read and that the index does not know. */
  constructor(
    index: BlobIndex,
    clock: Clock,
    logger: Logger,
    onUnknown: (digests: readonly Digest[]) => Promise<void>,
  ) {
    this.#index = index;
    this.#clock = clock;
    this.#logger = logger;
    this.#onUnknown = onUnknown;
  }

  /** A blob was read. */
  note(digest: Digest): void {
    const key = digestKey(digest);
    const now = this.#clock.monotonic();
    const told = this.#told.get(key);
    if (told !== undefined && now - told < this.#index.resolution) return;
    this.#told.set(key, now);
    this.#noted.push(digest);
    if (this.#noted.length >= BATCH) this.#tell();
    else this.#timer ??= this.#clock.setTimer(GATHER_MILLISECONDS, () => this.#tell());
  }

  /** Tells what was noted, and ends. */
  async close(): Promise<void> {
    this.#tell();
    await this.#telling;
    this.#stop.abort();
  }

  #tell(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const noted = this.#noted;
    this.#noted = [];
    if (noted.length === 0) return;
    this.#telling = this.#telling.then(async () => {
      try {
        const unknown = await this.#index.touch(noted, this.#stop.signal);
        if (unknown.length > 0) await this.#onUnknown(unknown);
      } catch (cause) {
        this.#logger.warn({ err: cause, blobs: noted.length }, 'the index did not hear which blobs were used');
      }
    });
  }
}
