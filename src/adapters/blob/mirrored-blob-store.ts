import { type Digest, digestKey, isEmptyDigest } from '../../domain/digest.ts';
import type { Logger } from '../../lib/log.ts';
import { mapConcurrently } from '../../lib/semaphore.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { FanOutWriter } from './fan-out-writer.ts';
import { inOrder } from './find-missing-by-store.ts';
import { pour } from './pour.ts';
import { isMissing, isWorthAnotherStore, readFromAny, worse } from './reading-on.ts';

/** Blobs copied at once from one mirror to another. */
const CONCURRENT_COPIES = 8;

/**
 * Each blob in every one of several stores, so that one may be lost.
 *
 * A mirror that cannot be reached is left out for the moment. A blob that one lacks, or has damaged, is copied to it from
 * another when it is asked for, so that a mirror that was replaced fills up with what is in use.
 */
export class MirroredBlobStore implements BlobBackend {
  readonly #mirrors: readonly BlobBackend[];
  readonly #minimumCopies: number;
  readonly #logger: Logger;
  readonly #mending = new Set<Promise<void>>();
  #turn = 0;

  /** @param minimumCopies how many mirrors have to take a blob before it is acknowledged. */
  constructor(mirrors: readonly BlobBackend[], minimumCopies: number, logger: Logger) {
    if (mirrors.length < 2 || minimumCopies < 1 || minimumCopies > mirrors.length) {
      throw new RangeError('a mirrored store needs two mirrors or more, and as many copies at most');
    }
    this.#mirrors = mirrors;
    this.#minimumCopies = minimumCopies;
    this.#logger = logger;
  }

  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const outcomes = await Promise.allSettled(this.#mirrors.map((mirror) => mirror.findMissing(digests, signal)));
    const lacking = new Map<BlobBackend, Map<string, Digest>>();
    let failure: unknown;
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === 'rejected') {
        if (!isWorthAnotherStore(outcome.reason)) throw outcome.reason;
        this.#warn(outcome.reason);
        failure = worse(failure, outcome.reason);
      } else {
        lacking.set(this.#mirrors[i] as BlobBackend, new Map(outcome.value.map((each) => [digestKey(each), each])));
      }
    }
    const [first, ...others] = lacking.values();
    if (first === undefined) throw failure;
    const nowhere = new Set([...first.keys()].filter((key) => others.every((keys) => keys.has(key))));
    for (const [mirror, keys] of lacking) {
      const source = [...lacking.keys()].find((each) => each !== mirror);
      const wanted = [...keys].filter(([key]) => !nowhere.has(key)).map(([, digest]) => digest);
      if (source === undefined || wanted.length === 0) continue;
      await mapConcurrently(wanted, CONCURRENT_COPIES, signal, (digest) => this.#copy(mirror, digest, signal));
    }
    return inOrder(digests, nowhere);
  }

  async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const lacking: BlobBackend[] = [];
    yield* readFromAny(this.#inTurn(), digest, range, signal, (mirror, cause) => {
      if (isMissing(cause)) lacking.push(mirror);
      else this.#warn(cause);
    });
    this.#mend(digest, lacking);
  }

  async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    const lacking: BlobBackend[] = [];
    let failure: unknown;
    for (const mirror of this.#inTurn()) {
      try {
        const data = await mirror.readWhole(digest, signal);
        this.#mend(digest, lacking);
        return data;
      } catch (cause) {
        if (!isWorthAnotherStore(cause)) throw cause;
        if (isMissing(cause)) lacking.push(mirror);
        else this.#warn(cause);
        failure = worse(failure, cause);
      }
    }
    throw failure;
  }

  async write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    if ((await this.findMissing([digest], signal)).length === 0) return;
    await pour(await this.openWriter(digest, signal), source instanceof Uint8Array ? [source] : source, signal);
  }

  async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    await Promise.all(this.#mirrors.map((mirror) => mirror.delete(digest, signal)));
  }

  async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    const outcomes = await Promise.allSettled(this.#mirrors.map((mirror) => mirror.openWriter(digest, signal)));
    const targets = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? [{ writer: outcome.value, required: false }] : [],
    );
    const writer = new FanOutWriter(digest, targets, this.#minimumCopies, (cause) => this.#warn(cause));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined && targets.length < this.#minimumCopies) {
      await writer.abandon();
      throw failed.reason;
    }
    if (failed !== undefined) this.#warn(failed.reason);
    return writer;
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    const all = [...digests];
    for (const mirror of this.#mirrors) mirror.pin(owner, all);
  }

  unpin(owner: string): void {
    for (const mirror of this.#mirrors) mirror.unpin(owner);
  }

  /** Waits for copies under way. */
  async close(): Promise<void> {
    await Promise.all(this.#mending);
  }

  /** The mirrors, each reader beginning with another. */
  #inTurn(): BlobBackend[] {
    const turn = this.#turn;
    this.#turn = (turn + 1) % this.#mirrors.length;
    return [...this.#mirrors.slice(turn), ...this.#mirrors.slice(0, turn)];
  }

  /** Brings a blob to mirrors that turned out to lack it, in the background. */
  #mend(digest: Digest, lacking: readonly BlobBackend[]): void {
    if (isEmptyDigest(digest)) return;
    for (const mirror of lacking) {
      if (this.#mending.size >= CONCURRENT_COPIES) return;
      const copy: Promise<void> = this.#copy(mirror, digest, new AbortController().signal).finally(() => {
        this.#mending.delete(copy);
      });
      this.#mending.add(copy);
    }
  }

  /** Copies a blob to a mirror from the others. A failure is logged: the blob is still there elsewhere. */
  async #copy(mirror: BlobBackend, digest: Digest, signal: AbortSignal): Promise<void> {
    const others = this.#mirrors.filter((each) => each !== mirror);
    try {
      await mirror.write(
        digest,
        readFromAny(others, digest, { offset: 0 }, signal, () => {}),
        signal,
      );
    } catch (cause) {
      signal.throwIfAborted();
      this.#warn(cause);
    }
  }

  #warn(cause: unknown): void {
    this.#logger.warn({ err: cause }, 'a mirror failed; going on with the others');
  }
}
