interface Slot<K, V> {
  readonly key: K;
  value: V;
  index: number;
}

/**
 * A heap whose entries can be replaced and removed by key: everything in the logarithm of its size.
 *
 * For queues by priority and for deadlines that move.
 */
export class IndexedHeap<K, V> {
  readonly #slots: Slot<K, V>[] = [];
  readonly #byKey = new Map<K, Slot<K, V>>();
  readonly #before: (a: V, b: V) => boolean;

  /** @param before whether `a` comes out before `b`. */
  constructor(before: (a: V, b: V) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#slots.length;
  }

  has(key: K): boolean {
    return this.#byKey.has(key);
  }

  get(key: K): V | undefined {
    return this.#byKey.get(key)?.value;
  }

  /** What comes out next. */
  peek(): readonly [K, V] | undefined {
    const first = this.#slots[0];
    return first === undefined ? undefined : [first.key, first.value];
  }

  /** Adds an entry, or gives the entry of this key another value. */
  set(key: K, value: V): void {
    let slot = this.#byKey.get(key);
    if (slot === undefined) {
      slot = { key, value, index: this.#slots.length };
      this.#slots.push(slot);
      this.#byKey.set(key, slot);
      this.#up(slot);
      return;
    }
    slot.value = value;
    this.#up(slot);
    this.#down(slot);
  }

  delete(key: K): boolean {
    const slot = this.#byKey.get(key);
    if (slot === undefined) return false;
    this.#byKey.delete(key);
    const last = this.#slots.pop();
    if (last !== undefined && last !== slot) {
      this.#place(last, slot.index);
      this.#up(last);
      this.#down(last);
    }
    return true;
  }

  pop(): readonly [K, V] | undefined {
    const first = this.peek();
    if (first !== undefined) this.delete(first[0]);
    return first;
  }

  #up(slot: Slot<K, V>): void {
    while (slot.index > 0) {
      const parent = this.#slots[(slot.index - 1) >> 1];
      if (parent === undefined || !this.#before(slot.value, parent.value)) return;
      this.#swap(slot, parent);
    }
  }

  #down(slot: Slot<K, V>): void {
    for (;;) {
      const left = this.#slots[slot.index * 2 + 1];
      if (left === undefined) return;
      const right = this.#slots[slot.index * 2 + 2];
      const child = right !== undefined && this.#before(right.value, left.value) ? right : left;
      if (!this.#before(child.value, slot.value)) return;
      this.#swap(slot, child);
    }
  }

  #swap(a: Slot<K, V>, b: Slot<K, V>): void {
    const { index } = a;
    this.#place(a, b.index);
    this.#place(b, index);
  }

  #place(slot: Slot<K, V>, index: number): void {
    slot.index = index;
    this.#slots[index] = slot;
  }
}
