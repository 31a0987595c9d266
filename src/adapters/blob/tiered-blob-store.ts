import { type Digest, digestKey } from '../../domain/digest.ts';
import type { Logger } from '../../lib/log.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { FanOutWriter } from './fan-out-writer.ts';
import { inOrder } from './find-missing-by-store.ts';
import { pour } from './pour.ts';
import { isWorthAnotherStore, readFromAny } from './reading-on.ts';
import { type WriteBackDependencies, WriteBackQueue } from './write-back-queue.ts';

export interface TieredOptions {
  /**
   * `write-through`: a blob is acknowledged once the slow store has it. `write-back`: once the fast one has it; the slow
   * one gets it in the background, as soon as it can.
   */
  readonly mode: 'write-through' | 'write-back';
  /** Blobs above this size are read from the slow store without being kept in the fast one. */
  readonly maximumFastBlobBytes: number;
  /** With write-back: how many blobs may wait for the slow store. Beyond it, uploads wait for room. */
  readonly maximumPending: number;
}

/**
 * A small fast store in front of a large slow one: what is read goes through the fast one and stays there for a while.
 *
 * With write-through the slow store alone says what is missing, since others may share it; with write-back a blob that
 * only the fast one has is there too.
 */
export class TieredBlobStore implements BlobBackend {
  readonly #fast: BlobBackend;
  readonly #slow: BlobBackend;
  readonly #options: TieredOptions;
  readonly #logger: Logger;
  /** Undefined with write-through. */
  readonly #writeBack: WriteBackQueue | undefined;

  constructor(fast: BlobBackend, slow: BlobBackend, options: TieredOptions, dependencies: WriteBackDependencies) {
    this.#fast = fast;
    this.#slow = slow;
    this.#options = options;
    this.#logger = dependencies.logger;
    this.#writeBack =
      options.mode === 'write-back' ? new WriteBackQueue(fast, slow, options.maximumPending, dependencies) : undefined;
  }

  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    if (this.#options.mode === 'write-through') return this.#slow.findMissing(digests, signal);
    const unknown = await this.#fast.findMissing(digests, signal);
    if (unknown.length === 0) return [];
    const missing = await this.#slow.findMissing(unknown, signal);
    return inOrder(digests, new Set(missing.map(digestKey)));
  }

  async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const isWhole = range.offset === 0 && (range.length ?? digest.sizeBytes) >= digest.sizeBytes;
    const state = { lacking: false };
    const chunks = readFromAny([this.#fast, this.#slow], digest, range, signal, (store, cause) => {
      if (store === this.#fast) state.lacking = true;
      this.#logger.debug({ digest: digestKey(digest), err: cause }, 'a tier could not serve a blob');
    });
    if (!isWhole || digest.sizeBytes > this.#options.maximumFastBlobBytes) {
      yield* chunks;
      return;
    }
    let keeper: BlobWriter | undefined;
    let served = 0;
    try {
      for await (const chunk of chunks) {
        // Only what comes whole from the slow store is kept; where the fast one broke off in the middle it is not.
        if (served === 0 && state.lacking) keeper = await this.#keeper(digest, signal);
        served += chunk.byteLength;
        if (keeper !== undefined) keeper = await this.#keep(keeper, chunk.slice());
        yield chunk;
      }
      await keeper?.commit().catch((cause: unknown) => this.#notKept(cause));
    } finally {
      await keeper?.abandon();
    }
  }

  async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    try {
      return await this.#fast.readWhole(digest, signal);
    } catch (cause) {
      if (!isWorthAnotherStore(cause)) throw cause;
    }
    const data = await this.#slow.readWhole(digest, signal);
    if (digest.sizeBytes <= this.#options.maximumFastBlobBytes) {
      await this.#fast.write(digest, data, signal).catch((cause: unknown) => this.#notKept(cause));
    }
    return data;
  }

  async write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    // With write-back the slow store is asked later, by whoever copies the blob: here nobody waits for it.
    const known = this.#writeBack === undefined ? this.#slow : this.#fast;
    if ((await known.findMissing([digest], signal)).length === 0) return;
    await pour(await this.openWriter(digest, signal), source instanceof Uint8Array ? [source] : source, signal);
  }

  async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    await this.#writeBack?.drop(digest);
    await Promise.all([this.#fast.delete(digest, signal), this.#slow.delete(digest, signal)]);
  }

  async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    const writeBack = this.#writeBack;
    if (writeBack !== undefined) {
      const writer = await this.#fast.openWriter(digest, signal);
      return {
        digest,
        get receivedBytes() {
          return writer.receivedBytes;
        },
        append: (chunk) => writer.append(chunk),
        commit: () => writeBack.commit(writer),
        abandon: () => writer.abandon(),
      };
    }
    const slow = { writer: await this.#slow.openWriter(digest, signal), required: true };
    const fast =
      digest.sizeBytes <= this.#options.maximumFastBlobBytes ? await this.#keeper(digest, signal) : undefined;
    const targets = fast === undefined ? [slow] : [slow, { writer: fast, required: false }];
    return new FanOutWriter(digest, targets, 1, (cause) => this.#notKept(cause));
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    const all = [...digests];
    this.#fast.pin(owner, all);
    this.#slow.pin(owner, all);
  }

  unpin(owner: string): void {
    this.#fast.unpin(owner);
    this.#slow.unpin(owner);
  }

  /** How many blobs wait for the slow store. */
  get pendingBlobs(): number {
    return this.#writeBack?.size ?? 0;
  }

  /** Waits until the slow store has everything, or `force` is aborted. */
  async close(force: AbortSignal): Promise<void> {
    await this.#writeBack?.close(force);
  }

  /** A writer into the fast store, or undefined where that has no room: it is only a cache. */
  async #keeper(digest: Digest, signal: AbortSignal): Promise<BlobWriter | undefined> {
    try {
      return await this.#fast.openWriter(digest, signal);
    } catch (cause) {
      signal.throwIfAborted();
      this.#notKept(cause);
      return undefined;
    }
  }

  async #keep(keeper: BlobWriter, chunk: Uint8Array): Promise<BlobWriter | undefined> {
    try {
      await keeper.append(chunk);
      return keeper;
    } catch (cause) {
      this.#notKept(cause);
      await keeper.abandon();
      return undefined;
    }
  }

  #notKept(cause: unknown): void {
    this.#logger.warn({ err: cause }, 'a blob could not be kept in the fast store');
  }
}
