interface Entry<V> {
  readonly value: V;
  readonly weight: number;
  /** How many had been put at the end of the line before it. */
  place: number;
}

/** What is used again while it is among so many of the youngest, as a part of all, keeps its place. */
const YOUNGEST_PART = 1 / 8;

/**
 * A map that forgets what was least recently used, once the weights of its entries exceed a limit.
 *
 * A use that changes nothing of note does not count: to move an entry costs three times as much as to find it, and what
 * is used much is young already. A map of fewer than eight entries is exact.
 */
export class LruMap<K, V> {
  readonly #entries = new Map<K, Entry<V>>();
  readonly #limit: number;
  readonly #weigh: (value: V, key: K) => number;
  #weight = 0;
  #places = 0;

  /**
   * @param limit the greatest total weight.
   * @param weigh the weight of an entry; each weighs 1 by default, so that the limit is a count.
   */
  constructor(limit: number, weigh: (value: V, key: K) => number = () => 1) {
    this.#limit = limit;
    this.#weigh = weigh;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The sum of the weights of all entries. */
  get weight(): number {
    return this.#weight;
  }

  /** The value, which becomes the most recently used. */
  get(key: K): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (this.#places - entry.place > this.#entries.size * YOUNGEST_PART) {
      this.#entries.delete(key);
      entry.place = ++this.#places;
      this.#entries.set(key, entry);
    }
    return entry.value;
  }

  has(key: K): boolean {
    return this.#entries.has(key);
  }

  /** Stores a value. One that is heavier than the limit is not kept. */
  set(key: K, value: V): void {
    this.delete(key);
    const weight = this.#weigh(value, key);
    if (weight > this.#limit) return;
    this.#entries.set(key, { value, weight, place: ++this.#places });
    this.#weight += weight;
    for (const [oldest] of this.#entries) {
      if (this.#weight <= this.#limit) break;
      this.delete(oldest);
    }
  }

  delete(key: K): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#entries.delete(key);
    this.#weight -= entry.weight;
    return true;
  }

  clear(): void {
    this.#entries.clear();
    this.#weight = 0;
  }

  /** From the least to the most recently used, the youngest in about this order. Entries may be deleted meanwhile. */
  *entries(): IterableIterator<[K, V]> {
    for (const [key, entry] of this.#entries) yield [key, entry.value];
  }
}
