import { type Digest, digestKey } from '../../domain/digest.ts';
import type { Logger } from '../../lib/log.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import type { ByteRange } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';
import { FanOutWriter } from './fan-out-writer.ts';
import { inOrder } from './find-missing-by-store.ts';
import { pour } from './pour.ts';
import { isWorthAnotherStore, readFromAny } from './reading-on.ts';

export interface TieredOptions {
  /**
   * `write-through`: a blob is acknowledged once the slow store has it. `write-back`: once the fast one has it; the slow
   * one gets it in the background, and never gets it if this process dies before.
   */
  readonly mode: 'write-through' | 'write-back';
  /** Blobs above this size are read from the slow store without being kept in the fast one. */
  readonly maximumFastBlobBytes: number;
  /** With write-back: how many blobs may wait for the slow store. Beyond it, uploads wait for theirs. */
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
  readonly #stop = new AbortController();
  /** Copies to the slow store under way, by blob. */
  readonly #pending = new Map<string, Promise<void>>();

  constructor(fast: BlobBackend, slow: BlobBackend, options: TieredOptions, logger: Logger) {
    this.#fast = fast;
    this.#slow = slow;
    this.#options = options;
    this.#logger = logger;
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
    if ((await this.findMissing([digest], signal)).length === 0) return;
    await pour(await this.openWriter(digest, signal), source instanceof Uint8Array ? [source] : source, signal);
  }

  async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    await this.#pending.get(digestKey(digest));
    await Promise.all([this.#fast.delete(digest, signal), this.#slow.delete(digest, signal)]);
  }

  async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    if (this.#options.mode === 'write-back') {
      const writer = await this.#fast.openWriter(digest, signal);
      return {
        digest,
        get receivedBytes() {
          return writer.receivedBytes;
        },
        append: (chunk) => writer.append(chunk),
        commit: () => this.#commitBack(digest, writer),
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
    return this.#pending.size;
  }

  /** Waits until the slow store has everything, or `force` is aborted. */
  async close(force: AbortSignal): Promise<void> {
    const stop = () => this.#stop.abort();
    force.addEventListener('abort', stop, { once: true });
    if (force.aborted) stop();
    await Promise.all(this.#pending.values());
    force.removeEventListener('abort', stop);
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

  async #commitBack(digest: Digest, writer: BlobWriter): Promise<void> {
    const key = digestKey(digest);
    const owner = `write-back ${key}`;
    // It must not be evicted before the slow store has it.
    this.#fast.pin(owner, [digest]);
    try {
      await writer.commit();
    } catch (cause) {
      if (!this.#pending.has(key)) this.#fast.unpin(owner);
      throw cause;
    }
    let copy = this.#pending.get(key);
    if (copy === undefined) {
      copy = this.#copyBack(digest).finally(() => {
        this.#pending.delete(key);
        this.#fast.unpin(owner);
      });
      this.#pending.set(key, copy);
    }
    if (this.#pending.size > this.#options.maximumPending) await copy;
  }

  async #copyBack(digest: Digest): Promise<void> {
    const { signal } = this.#stop;
    try {
      const [missing] = await this.#slow.findMissing([digest], signal);
      if (missing === undefined) return;
      await this.#slow.write(digest, this.#fast.read(digest, { offset: 0 }, signal), signal);
    } catch (cause) {
      this.#logger.error({ digest: digestKey(digest), err: cause }, 'a blob did not reach the slow store');
    }
  }

  #notKept(cause: unknown): void {
    this.#logger.warn({ err: cause }, 'a blob could not be kept in the fast store');
  }
}
