import { type Digest, digestKey, isEmptyDigest } from '../../domain/digest.ts';
import { mapConcurrently } from '../../lib/semaphore.ts';
import type { BlobStore } from '../../ports/blob-store.ts';

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_BLOBS = 256;
const CONCURRENT_WRITES = 16;

/** Small blobs on their way to a store, which is asked for many of them at once what it lacks. */
export class BlobBatch {
  readonly #blobs: BlobStore;
  readonly #signal: AbortSignal;
  readonly #waiting = new Map<string, { readonly digest: Digest; readonly data: Uint8Array }>();
  #bytes = 0;

  constructor(blobs: BlobStore, signal: AbortSignal) {
    this.#blobs = blobs;
    this.#signal = signal;
  }

  /** Waits where there is enough to send. @throws what the store throws. */
  async add(digest: Digest, data: Uint8Array): Promise<void> {
    const key = digestKey(digest);
    if (isEmptyDigest(digest) || this.#waiting.has(key)) return;
    this.#waiting.set(key, { digest, data });
    this.#bytes += data.byteLength;
    if (this.#bytes >= MAX_BYTES || this.#waiting.size >= MAX_BLOBS) await this.flush();
  }

  /** All that was added is stored once this has ended. @throws what the store throws. */
  async flush(): Promise<void> {
    const entries = new Map(this.#waiting);
    this.#waiting.clear();
    this.#bytes = 0;
    if (entries.size === 0) return;
    const digests = [...entries.values()].map(({ digest }) => digest);
    const missing = await this.#blobs.findMissing(digests, this.#signal);
    await mapConcurrently(missing, CONCURRENT_WRITES, this.#signal, async (digest) => {
      const entry = entries.get(digestKey(digest));
      if (entry !== undefined) await this.#blobs.write(digest, entry.data, this.#signal);
    });
  }
}
