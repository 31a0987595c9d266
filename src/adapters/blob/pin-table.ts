import { type Digest, digestKey } from '../../domain/digest.ts';
import type { BlobPins } from '../../ports/blob-pins.ts';

/** The pins of one process, counted, for stores that evict. */
export class PinTable implements BlobPins {
  readonly #keyOf: (digest: Digest) => string;
  readonly #byOwner = new Map<string, Set<string>>();
  readonly #pinned = new Map<string, { readonly digest: Digest; count: number }>();

  /** @param keyOf a text that is equal for equal digests, as the store that asks makes it. */
  constructor(keyOf: (digest: Digest) => string = digestKey) {
    this.#keyOf = keyOf;
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    let keys = this.#byOwner.get(owner);
    if (keys === undefined) {
      keys = new Set();
      this.#byOwner.set(owner, keys);
    }
    for (const digest of digests) {
      const key = this.#keyOf(digest);
      if (keys.has(key)) continue;
      keys.add(key);
      const known = this.#pinned.get(key);
      if (known === undefined) this.#pinned.set(key, { digest, count: 1 });
      else known.count += 1;
    }
  }

  unpin(owner: string): void {
    const keys = this.#byOwner.get(owner);
    if (keys === undefined) return;
    this.#byOwner.delete(owner);
    for (const key of keys) {
      const known = this.#pinned.get(key);
      if (known === undefined) continue;
      known.count -= 1;
      if (known.count === 0) this.#pinned.delete(key);
    }
  }

  /** How many blobs are pinned. */
  get size(): number {
    return this.#pinned.size;
  }

  /** Every blob that is pinned, once. */
  *digests(): Iterable<Digest> {
    for (const { digest } of this.#pinned.values()) yield digest;
  }

  /** @param key as `keyOf` makes it. */
  isPinned(key: string): boolean {
    return this.#pinned.has(key);
  }
}
