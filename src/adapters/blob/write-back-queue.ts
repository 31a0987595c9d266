import { setMaxListeners } from 'node:events';
import { type Digest, digestKey } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError, unavailable } from '../../domain/status-error.ts';
import { linkSignals } from '../../lib/abort.ts';
import { type BackoffOptions, backoffDelay } from '../../lib/backoff.ts';
import { type Clock, sleep } from '../../lib/clock.ts';
import { Deferred } from '../../lib/deferred.ts';
import type { Random } from '../../lib/ids.ts';
import type { Logger } from '../../lib/log.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { isMissing } from './reading-on.ts';
import type { WriteBackJournal } from './write-back-journal.ts';

export interface WriteBackDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
  /** Where it stands what waits; undefined where the fast store does not outlive this process. */
  readonly journal?: WriteBackJournal | undefined;
}

/** Copies under way at once. */
const CONCURRENT_COPIES = 16;
const RETRY: BackoffOptions = { initial: 1_000, maximum: 60_000, factor: 2 };
/** So long an upload waits for room among what waits for the slow store. */
const ROOM_MILLISECONDS = 30_000;
const FULL_RETRY_MILLISECONDS = 5_000;

/** A blob that the fast store has, or is about to get, and the slow one has not. */
interface Entry {
  readonly digest: Digest;
  /** Resolves once a later process will know of it. */
  readonly recorded: Promise<void>;
  /** Ends the copy: the blob is being deleted. */
  readonly dropped: AbortController;
  /** Uploads of it that are about to be committed. */
  arriving: number;
  /** Undefined until one of them is. Never rejects. */
  copy: Promise<void> | undefined;
}

/**
 * Brings to a slow store what is written to a fast one. A copy that fails is tried again until it succeeds, less and less
 * often; until then the fast store keeps the blob. Where there is a journal it goes on after the process was killed.
 */
export class WriteBackQueue {
  readonly #fast: BlobBackend;
  readonly #slow: BlobBackend;
  readonly #maximumPending: number;
  readonly #dependencies: WriteBackDependencies;
  readonly #gate = new Semaphore(CONCURRENT_COPIES);
  readonly #stop = new AbortController();
  readonly #entries = new Map<string, Entry>();
  #waitingForRoom: Array<Deferred<void>> = [];
  /** Whether the last copy failed: of a slow store that is away for hours the log tells once. */
  #isFailing = false;

  /** Begins with what an earlier process left. */
  constructor(fast: BlobBackend, slow: BlobBackend, maximumPending: number, dependencies: WriteBackDependencies) {
    this.#fast = fast;
    this.#slow = slow;
    this.#maximumPending = maximumPending;
    this.#dependencies = dependencies;
    // One listener for each blob that waits, and no leak.
    setMaxListeners(0, this.#stop.signal);
    const left = dependencies.journal?.waiting ?? [];
    if (left.length > 0)
      dependencies.logger.info({ blobs: left.length }, 'blobs wait for the slow store since last time');
    for (const digest of left) {
      const entry = this.#createEntry(digest, Promise.resolve());
      entry.copy = this.#copy(entry);
    }
  }

  /** How many blobs wait for the slow store. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Commits a blob to the fast store, and sees to it that the slow one gets it.
   *
   * @throws UNAVAILABLE with RetryInfo where as many wait as may, and none gets there within 30 s; what `commit` throws.
   */
  async commit(writer: BlobWriter): Promise<void> {
    const entry = await this.#enter(writer.digest);
    try {
      await entry.recorded;
      await writer.commit();
    } catch (cause) {
      entry.arriving -= 1;
      if (entry.arriving === 0 && entry.copy === undefined) await this.#forget(entry);
      throw cause;
    }
    // What was deleted in between is there again, and waits anew.
    const live = entry.dropped.signal.aborted ? await this.#enter(writer.digest) : entry;
    await live.recorded;
    live.arriving -= 1;
    live.copy ??= this.#copy(live);
  }

  /** A blob that is about to be deleted is not copied any more. */
  async drop(digest: Digest): Promise<void> {
    const entry = this.#entries.get(digestKey(digest));
    if (entry?.copy === undefined) return;
    entry.dropped.abort(new Error('the blob is being deleted'));
    await entry.copy;
    await this.#forget(entry);
  }

  /** Waits until the slow store has everything, or `force` is aborted. No other call may follow. */
  async close(force: AbortSignal): Promise<void> {
    const { journal, logger } = this.#dependencies;
    const stop = () => this.#stop.abort(new Error('the storage is closing'));
    force.addEventListener('abort', stop, { once: true });
    if (force.aborted) stop();
    await Promise.all([...this.#entries.values()].map(async ({ copy }) => copy));
    force.removeEventListener('abort', stop);
    if (this.#entries.size > 0) {
      const left = { blobs: this.#entries.size };
      if (journal === undefined) logger.error(left, 'blobs did not reach the slow store, and go with the fast one');
      else logger.warn(left, 'blobs wait for the slow store: they are brought there after the next start');
    }
    await journal?.close();
  }

  async #enter(digest: Digest): Promise<Entry> {
    for (;;) {
      const known = this.#entries.get(digestKey(digest));
      if (known !== undefined) {
        known.arriving += 1;
        return known;
      }
      if (this.#entries.size < this.#maximumPending) break;
      await this.#waitForRoom();
    }
    const entry = this.#createEntry(digest, this.#dependencies.journal?.add(digest) ?? Promise.resolve());
    entry.arriving = 1;
    return entry;
  }

  #createEntry(digest: Digest, recorded: Promise<void>): Entry {
    recorded.catch(() => {});
    const entry: Entry = { digest, recorded, dropped: new AbortController(), arriving: 0, copy: undefined };
    this.#entries.set(digestKey(digest), entry);
    this.#fast.pin(ownerOf(digest), [digest]);
    return entry;
  }

  async #waitForRoom(): Promise<void> {
    const room = new Deferred<void>();
    this.#waitingForRoom.push(room);
    const timer = this.#dependencies.clock.setTimer(ROOM_MILLISECONDS, () => {
      this.#waitingForRoom = this.#waitingForRoom.filter((each) => each !== room);
      room.reject(unavailable(`${this.#entries.size} blobs wait for the slow store already`, FULL_RETRY_MILLISECONDS));
    });
    await room.promise.finally(() => timer.cancel());
  }

  /** Ends once the slow store has the blob, the blob is given up, or there is no more time. */
  async #copy(entry: Entry): Promise<void> {
    const { clock, logger, random } = this.#dependencies;
    using link = linkSignals(this.#stop.signal, entry.dropped.signal);
    const { signal } = link;
    const blob = digestKey(entry.digest);
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        const outcome = await this.#gate.run(() => this.#copyOnce(entry.digest, signal), signal);
        if (outcome === 'lost')
          logger.error({ blob }, 'a blob is lost: the fast store has it no more, the slow one not yet');
        this.#succeeded();
        break;
      } catch (cause) {
        if (signal.aborted) return;
        if (cause instanceof StatusError && cause.code === StatusCode.INVALID_ARGUMENT) {
          logger.error({ blob, err: cause }, 'the slow store does not take a blob: the fast one alone has it');
          break;
        }
        this.#failed(cause);
        await sleep(clock, backoffDelay(failures, random, RETRY), signal).catch(() => {});
      }
    }
    if (!signal.aborted) await this.#forget(entry);
  }

  async #copyOnce(digest: Digest, signal: AbortSignal): Promise<'copied' | 'lost'> {
    const [missing] = await this.#slow.findMissing([digest], signal);
    if (missing === undefined) return 'copied';
    let lost = false;
    const source = async function* (fast: BlobBackend) {
      try {
        yield* fast.read(digest, { offset: 0 }, signal);
      } catch (cause) {
        lost = isMissing(cause);
        throw cause;
      }
    };
    try {
      await this.#slow.write(digest, source(this.#fast), signal);
    } catch (cause) {
      if (!lost) throw cause;
    }
    return lost ? 'lost' : 'copied';
  }

  async #forget(entry: Entry): Promise<void> {
    const { journal, logger } = this.#dependencies;
    const key = digestKey(entry.digest);
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#fast.unpin(ownerOf(entry.digest));
    this.#waitingForRoom.shift()?.resolve();
    await journal?.remove(entry.digest).catch((cause: unknown) => {
      logger.warn({ err: cause, blob: key }, 'it could not be noted that the slow store has a blob');
    });
  }

  #failed(cause: unknown): void {
    if (this.#isFailing) return;
    this.#isFailing = true;
    const waiting = { err: cause, blobs: this.#entries.size };
    this.#dependencies.logger.warn(waiting, 'blobs do not reach the slow store; they are tried again until they do');
  }

  #succeeded(): void {
    if (!this.#isFailing) return;
    this.#isFailing = false;
    this.#dependencies.logger.info({ blobs: this.#entries.size }, 'blobs reach the slow store again');
  }
}

function ownerOf(digest: Digest): string {
  return `write-back ${digestKey(digest)}`;
}
