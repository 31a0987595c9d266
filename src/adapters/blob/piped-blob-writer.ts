import type { Digest } from '../../domain/digest.ts';
import { invalidArgument } from '../../domain/status-error.ts';
import { Deferred } from '../../lib/deferred.ts';
import type { BlobStore } from '../../ports/blob-store.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';

/** What the stream of an abandoned upload ends with, inside the store. */
class AbandonedError extends Error {
  constructor() {
    super('the upload was abandoned');
    this.name = 'AbortError';
  }
}

interface Piece {
  readonly chunk: Uint8Array;
  readonly taken: Deferred<void>;
}

/**
 * A writer on top of any store: one call of `write` whose source waits for the pieces. While an upload pauses, so does
 * that call, with whatever it holds open.
 */
export class PipedBlobWriter implements BlobWriter {
  readonly digest: Digest;
  readonly #store: BlobStore;
  readonly #controller = new AbortController();
  #received = 0;
  #outcome: Promise<void> | undefined;
  #settled = false;
  #offered: Deferred<Piece | undefined> = new Deferred();
  #current: Piece | undefined;

  constructor(store: BlobStore, digest: Digest) {
    this.#store = store;
    this.digest = digest;
  }

  get receivedBytes(): number {
    return this.#received;
  }

  async append(chunk: Uint8Array): Promise<void> {
    if (this.#received + chunk.byteLength > this.digest.sizeBytes) {
      throw invalidArgument('digest.size_bytes', `more bytes came than the ${this.digest.sizeBytes} that it names`);
    }
    this.#received += chunk.byteLength;
    const outcome = this.#start();
    // A store that has the blob already ends without reading on.
    if (this.#settled) return outcome;
    this.#current = { chunk, taken: new Deferred() };
    this.#offered.resolve(this.#current);
    await this.#current.taken.promise;
  }

  commit(): Promise<void> {
    const outcome = this.#start();
    this.#offered.resolve(undefined);
    return outcome;
  }

  async abandon(): Promise<void> {
    if (this.#outcome === undefined || this.#settled) return;
    const reason = new AbandonedError();
    this.#offered.reject(reason);
    this.#controller.abort(reason);
    await this.#outcome.catch(() => {});
  }

  #start(): Promise<void> {
    if (this.#outcome === undefined) {
      this.#offered.promise.catch(() => {});
      this.#outcome = this.#store.write(this.digest, this.#pieces(), this.#controller.signal);
      this.#outcome.then(
        () => {
          this.#settled = true;
          this.#current?.taken.resolve();
        },
        (cause: unknown) => {
          this.#settled = true;
          this.#current?.taken.promise.catch(() => {});
          this.#current?.taken.reject(cause);
        },
      );
    }
    return this.#outcome;
  }

  async *#pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = await this.#offered.promise;
      if (piece === undefined) return;
      this.#offered = new Deferred();
      this.#offered.promise.catch(() => {});
      yield piece.chunk;
      piece.taken.resolve();
    }
  }
}
