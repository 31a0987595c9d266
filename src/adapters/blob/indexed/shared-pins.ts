import { type Digest, digestKey } from '../../../domain/digest.ts';
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { BlobIndex } from '../../../ports/blob-index.ts';
import type { BlobPins } from '../../../ports/blob-pins.ts';
import { PinTable } from '../pin-table.ts';

/** How long the index keeps what a replica has pinned: so long a replica may be cut off from the index. */
const KEPT_MILLISECONDS = 5 * 60_000;
const RENEW_MILLISECONDS = KEPT_MILLISECONDS / 3;
/** What is pinned in so short a time is told together. */
const GATHER_MILLISECONDS = 20;
const BATCH = 10_000;

/**
 * The pins of one replica, told to the index so that no other evicts what they name. They lapse in the index by
 * themselves, so that those of a replica that died do not stay.
 */
export class SharedPins implements BlobPins {
  readonly #index: BlobIndex;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #table = new PinTable();
  readonly #stop = new AbortController();
  #fresh: Digest[] = [];
  #telling: Promise<void> = Promise.resolve();
  #gathering: Timer | undefined;
  #renewal: Timer | undefined;

  constructor(index: BlobIndex, clock: Clock, logger: Logger) {
    this.#index = index;
    this.#clock = clock;
    this.#logger = logger;
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    const all = [...digests];
    this.#table.pin(owner, all);
    this.#tellSoon(all);
    this.#armRenewal();
  }

  unpin(owner: string): void {
    this.#table.unpin(owner);
  }

  /** Whether this replica has pinned the blob. */
  isPinned(digest: Digest): boolean {
    return this.#table.size > 0 && this.#table.isPinned(digestKey(digest));
  }

  /** A blob has been stored: it may have been pinned before. */
  stored(digest: Digest): void {
    if (this.isPinned(digest)) this.#tellSoon([digest]);
  }

  /** Ends renewing; what was told lapses in its time. */
  async close(): Promise<void> {
    this.#gathering?.cancel();
    this.#renewal?.cancel();
    this.#stop.abort();
    await this.#telling;
  }

  #tellSoon(digests: readonly Digest[]): void {
    if (this.#stop.signal.aborted) return;
    for (const digest of digests) this.#fresh.push(digest);
    this.#gathering ??= this.#clock.setTimer(GATHER_MILLISECONDS, () => {
      this.#gathering = undefined;
      const fresh = this.#fresh;
      this.#fresh = [];
      this.#tell(fresh);
    });
  }

  #armRenewal(): void {
    if (this.#stop.signal.aborted) return;
    this.#renewal ??= this.#clock.setTimer(RENEW_MILLISECONDS, () => {
      this.#renewal = undefined;
      if (this.#table.size === 0) return;
      this.#tell([...this.#table.digests()]);
      this.#armRenewal();
    });
  }

  #tell(digests: readonly Digest[]): void {
    this.#telling = this.#telling.then(async () => {
      try {
        for (let from = 0; from < digests.length; from += BATCH) {
          await this.#index.keep(digests.slice(from, from + BATCH), KEPT_MILLISECONDS, this.#stop.signal);
        }
      } catch (cause) {
        if (this.#stop.signal.aborted) return;
        this.#logger.warn({ err: cause }, 'the index did not hear what must not be evicted; it is told again later');
      }
    });
  }
}
