import { open } from 'node:fs/promises';
import { resourceExhausted } from '../../domain/status-error.ts';
import { linkSignals } from '../../lib/abort.ts';
import type { Timer } from '../../lib/clock.ts';
import { type KnownBytes, knownBytes, writeCheckpoint } from './checkpoint.ts';
import type { SegmentLog } from './segment-log.ts';
import { type Evicted, StoreCleaner } from './store-cleaner.ts';
import { cleanMarkPath } from './store-recovery.ts';
import type { StoreLevel, StoreState } from './store-state.ts';

/** A checkpoint is written once so much has been appended: reading that after a crash takes about a second. */
const CHECKPOINT_BYTES = 256 * 1024 * 1024;
/** And at least so often while anything changes or is used, so that a crash forgets little of what was used when. */
const CHECKPOINT_MILLISECONDS = 5 * 60 * 1000;
/** After cleaning that did not get far enough, and on a full disk, so long passes before the next attempt. */
const PAUSE_MILLISECONDS = 1000;
/** On a full disk so much of what is used is given up at once. */
const RELIEF_PART = 0.05;

/**
 * What a record store does beside its callers' work, one thing at a time: keeps below its limit, makes room, writes
 * checkpoints.
 */
export class Housekeeping {
  readonly #state: StoreState;
  readonly #log: SegmentLog;
  readonly #cleaner: StoreCleaner;
  readonly #stop = new AbortController();
  #known: KnownBytes;
  #running: Promise<void> | undefined;
  #timer: Timer | undefined;
  #savedChanges = 0;
  #savedUses = 0;
  #savedBytes = 0;
  #cleaningDue = 0;
  #reliefDue = 0;
  #waiting: Array<() => void> = [];

  /** @param known what the checkpoint on the disk covers. */
  constructor(state: StoreState, log: SegmentLog, known: KnownBytes) {
    this.#state = state;
    this.#log = log;
    this.#known = known;
    this.#cleaner = new StoreCleaner(state, {
      log,
      isCovered: (segment) => (this.#known.get(segment.number) ?? 0) >= segment.committedBytes,
      checkpoint: () => this.#checkpoint(),
      progressed: () => this.#wakeUnlessHigh(),
    });
    this.#armTimer();
    this.consider();
  }

  /** Begins in the background what is due by now. Called whenever something has been stored or removed. */
  consider(): void {
    if (this.#running !== undefined || this.#stop.signal.aborted) return;
    if (this.#cleaner.isNeeded && this.#now() >= this.#cleaningDue) {
      void this.#enqueue(async () => {
        await this.#cleaner.clean(this.#state.low, this.#stop.signal);
        if (this.#cleaner.isNeeded) this.#cleaningDue = this.#now() + PAUSE_MILLISECONDS;
      });
    } else if (this.#state.appendedBytes - this.#savedBytes > CHECKPOINT_BYTES) {
      void this.#enqueue(() => this.#checkpoint());
    }
  }

  /**
   * Resolves once no more than the high watermark is stored, or cleaning has come to its end for now: so that uploads, however
   * fast, do not carry the store beyond it.
   *
   * @returns undefined where there is nothing to wait for.
   */
  untilBelowHigh(): Promise<void> | undefined {
    if (!this.#state.isStoredAbove(this.#state.high) || this.#stop.signal.aborted) return undefined;
    if (this.#running === undefined && this.#now() < this.#cleaningDue) return undefined;
    this.consider();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Makes room for so many bytes and takes it. @throws RESOURCE_EXHAUSTED when there is none to be had. */
  async makeRoom(bytes: number): Promise<void> {
    const { admission, low, options } = this.#state;
    const target = {
      bytes: Math.min(low.bytes, admission.bytes - bytes),
      count: Math.min(low.count, admission.count - 1),
    };
    // Others may take what was made before this one gets its turn; so a second try.
    for (let attempts = target.bytes < 0 ? 0 : 2; attempts > 0; attempts--) {
      await this.#enqueue(() => this.#cleaner.clean(target, this.#stop.signal));
      if (this.#state.hasRoomFor(bytes)) {
        this.#state.reservedBytes += bytes;
        return;
      }
    }
    const { maximumSizeBytes, maximumCount } = options;
    throw resourceExhausted(
      `no room for ${bytes} bytes: the store may hold ${maximumSizeBytes} (maximumSizeBytes)` +
        `${maximumCount === undefined ? '' : ` in ${maximumCount} entries (maximumCount)`} and nothing more can be ` +
        'evicted now',
      5000,
    );
  }

  /** The disk has turned out full below the configured size: something must go. */
  relieve(): void {
    if (this.#running !== undefined || this.#stop.signal.aborted || this.#now() < this.#reliefDue) return;
    this.#reliefDue = this.#now() + PAUSE_MILLISECONDS;
    const target = { bytes: this.#state.usedBytes * (1 - RELIEF_PART), count: Number.POSITIVE_INFINITY };
    void this.#enqueue(() => this.#cleaner.relieve(target, this.#stop.signal));
  }

  /** Cleans down to a level, in turn with what else is to be done. @param evicted hears of every record that is evicted. */
  async clean(target: StoreLevel, evicted: Evicted, signal: AbortSignal): Promise<void> {
    using link = linkSignals(signal, this.#stop.signal);
    await this.#enqueue(() => this.#cleaner.clean(target, link.signal, evicted));
  }

  /** Gives the room of unused records back, without evicting anything, as far as it is worth the copying. */
  compact(signal: AbortSignal): Promise<void> {
    return this.#enqueue(() => this.#cleaner.compact(signal));
  }

  /** Ends what is under way, closes the log and saves the index, so that the next start is quick. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    await this.#running;
    await this.#log.close();
    try {
      if (this.#isStale()) await this.#checkpoint();
      const mark = await open(cleanMarkPath(this.#state.options.directory), 'w');
      await mark.close();
    } catch (cause) {
      // Such as on a full disk. The next start reads what the last checkpoint does not cover.
      this.#state.dependencies.logger.warn({ err: cause }, 'the index could not be saved; the next start takes longer');
    }
  }

  #wakeUnlessHigh(): void {
    if (this.#waiting.length > 0 && !this.#state.isStoredAbove(this.#state.high)) this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #isStale(): boolean {
    return this.#state.changes !== this.#savedChanges || this.#state.uses !== this.#savedUses;
  }

  #armTimer(): void {
    this.#timer = this.#state.dependencies.clock.setTimer(CHECKPOINT_MILLISECONDS, () => {
      this.#armTimer();
      if (this.#running === undefined && this.#isStale()) void this.#enqueue(() => this.#checkpoint());
    });
  }

  /** Runs one task after the other. Never throws: a failure is logged, and the task comes again when it is due. */
  #enqueue(task: () => Promise<void>): Promise<void> {
    const before = this.#running ?? Promise.resolve();
    const mine = before.then(task).catch((cause: unknown) => {
      this.#state.dependencies.logger.error({ err: cause }, 'housekeeping of the store failed');
    });
    this.#running = mine;
    void mine.then(() => {
      if (this.#running !== mine) return;
      this.#running = undefined;
      // Whatever it was: who waits must not wait for what nobody does.
      this.#wake();
    });
    return mine;
  }

  async #checkpoint(): Promise<void> {
    const { index, segments, options, changes, uses, appendedBytes } = this.#state;
    this.#savedBytes = appendedBytes;
    // Noted before: what comes while the disk is at work is not covered, and is read again after a crash.
    const known = knownBytes(segments.values());
    await this.#log.sync();
    await writeCheckpoint(options.directory, index, known);
    this.#known = known;
    this.#savedChanges = changes;
    this.#savedUses = uses;
  }

  #now(): number {
    return this.#state.dependencies.clock.monotonic();
  }
}
