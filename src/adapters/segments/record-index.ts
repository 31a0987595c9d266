import { KEY_WORDS, type RecordKey } from './record-key.ts';

/** Words of an entry: the key, where the record lies, when it was last used, and its neighbours in order of use. */
const SEGMENT = KEY_WORDS;
const OFFSET = KEY_WORDS + 1;
const LENGTH = KEY_WORDS + 2;
const LAST_USE = KEY_WORDS + 3;
const OLDER = KEY_WORDS + 4;
const NEWER = KEY_WORDS + 5;
const ENTRY_SHIFT = 4;

/** Words of an entry that a checkpoint keeps: all but the neighbours. */
export const ROW_WORDS = KEY_WORDS + 4;

const PAGE_SHIFT = 12;
const PAGE_MASK = (1 << PAGE_SHIFT) - 1;
const SHARDS = 256;
const FIRST_CAPACITY = 16;
const NONE = 0xff_ff_ff_ff;

/** Bounds of what one sort key holds: ids, and seconds (two years). Together they stay below 2^53. */
const SORT_IDS = 2 ** 27;
const MAXIMUM_AGE = 2 ** 26 - 1;

/** The segment of an entry whose bytes lie in a file of their own. */
export const NO_SEGMENT = 0;

/** The buckets of one shard: each holds an entry's id plus one, or 0. */
interface Shard {
  buckets: Uint32Array;
  count: number;
}

/**
 * Which records there are, where each lies, and which was used least recently: 64 bytes an entry and some ten for the
 * hash table, so that a million blobs take about 75 MiB.
 *
 * Entries lie in pages that never move, and the hash table is cut into 256 shards that grow on their own, so that no
 * insertion ever copies more than a page or a shard. Hashing is seeded, so that nobody can choose digests that pile up.
 *
 * An id names an entry until it is removed; then it may name another.
 */
export class RecordIndex {
  readonly #pages: Uint32Array[] = [];
  readonly #shards: Shard[] = Array.from({ length: SHARDS }, () => ({
    buckets: new Uint32Array(FIRST_CAPACITY),
    count: 0,
  }));
  readonly #seed: number;
  #slots = 0;
  #count = 0;
  #free = NONE;
  #oldest = NONE;
  #newest = NONE;

  /** @param seed any number; should be random. */
  constructor(seed: number) {
    this.#seed = seed >>> 0;
  }

  get count(): number {
    return this.#count;
  }

  /** The entry of this key, or -1. */
  find(key: RecordKey): number {
    const hash = this.#hash(key, 0);
    const { buckets } = this.#shards[hash >>> 24] as Shard;
    const mask = buckets.length - 1;
    for (let bucket = hash & mask; ; bucket = (bucket + 1) & mask) {
      const found = buckets[bucket] as number;
      if (found === 0) return -1;
      if (this.#hasKey(found - 1, key)) return found - 1;
    }
  }

  /** Adds an entry, as the one used last. The key must not be there. */
  insert(key: RecordKey, segment: number, offset: number, length: number, lastUse: number): number {
    const id = this.#allocate();
    const page = this.#page(id);
    const base = baseOf(id);
    for (let word = 0; word < KEY_WORDS; word++) page[base + word] = key[word] as number;
    page[base + SEGMENT] = segment;
    page[base + OFFSET] = offset;
    page[base + LENGTH] = length;
    page[base + LAST_USE] = lastUse;
    this.#addBucket(this.#hash(key, 0), id);
    this.#link(id);
    this.#count += 1;
    return id;
  }

  remove(id: number): void {
    const page = this.#page(id);
    const base = baseOf(id);
    this.#removeBucket(this.#hash(page, base), id);
    this.#unlink(id);
    page.fill(0, base, base + ROW_WORDS);
    page[base + OLDER] = this.#free;
    page[base + SEGMENT] = NONE;
    this.#free = id;
    this.#count -= 1;
  }

  /** Makes an entry the one used last. Within one second the order of use is not kept. */
  touch(id: number, nowSeconds: number): void {
    const page = this.#page(id);
    const at = baseOf(id) + LAST_USE;
    if (page[at] === nowSeconds) return;
    page[at] = nowSeconds;
    if (this.#newest === id) return;
    this.#unlink(id);
    this.#link(id);
  }

  relocate(id: number, segment: number, offset: number): void {
    const page = this.#page(id);
    const base = baseOf(id);
    page[base + SEGMENT] = segment;
    page[base + OFFSET] = offset;
  }

  segmentOf(id: number): number {
    return this.#page(id)[baseOf(id) + SEGMENT] as number;
  }

  offsetOf(id: number): number {
    return this.#page(id)[baseOf(id) + OFFSET] as number;
  }

  lengthOf(id: number): number {
    return this.#page(id)[baseOf(id) + LENGTH] as number;
  }

  /** Seconds since the epoch. */
  lastUseOf(id: number): number {
    return this.#page(id)[baseOf(id) + LAST_USE] as number;
  }

  readKey(id: number, into: RecordKey): RecordKey {
    const base = baseOf(id);
    into.set(this.#page(id).subarray(base, base + KEY_WORDS));
    return into;
  }

  /** The entry used least recently, or -1. */
  oldest(): number {
    return this.#oldest === NONE ? -1 : this.#oldest;
  }

  /** The entry used next after this one, or -1. */
  newerThan(id: number): number {
    const newer = this.#page(id)[baseOf(id) + NEWER] as number;
    return newer === NONE ? -1 : newer;
  }

  /** Ids are below this. */
  get slots(): number {
    return this.#slots;
  }

  /** Whether the id names an entry. */
  isUsed(id: number): boolean {
    return this.segmentOf(id) !== NONE;
  }

  /**
   * Copies the rows of entries from slot `from` on into `into`, as many as fit.
   *
   * @returns the next slot and how many rows were written.
   */
  copyRows(from: number, into: Uint32Array): { next: number; rows: number } {
    const room = Math.floor(into.length / ROW_WORDS);
    let rows = 0;
    let id = from;
    for (; id < this.#slots && rows < room; id++) {
      if (!this.isUsed(id)) continue;
      const base = baseOf(id);
      into.set(this.#page(id).subarray(base, base + ROW_WORDS), rows * ROW_WORDS);
      rows += 1;
    }
    return { next: id, rows };
  }

  /** Puts the entries into order of last use: after loading rows, which come in any order. */
  sortByLastUse(): void {
    let first = NONE;
    for (let id = 0; id < this.#slots; id++) {
      if (this.isUsed(id)) first = Math.min(first, this.lastUseOf(id));
    }
    // One number holds the time, counted from the earliest, and the id, so that sorting needs no comparison function.
    const order = new Float64Array(this.#count);
    let n = 0;
    for (let id = 0; id < this.#slots; id++) {
      if (this.isUsed(id)) order[n++] = Math.min(this.lastUseOf(id) - first, MAXIMUM_AGE) * SORT_IDS + id;
    }
    order.sort();
    this.#oldest = NONE;
    this.#newest = NONE;
    for (const each of order) this.#link(each % SORT_IDS);
  }

  #hash(words: Uint32Array, base: number): number {
    let hash = Math.imul((words[base] as number) ^ this.#seed, 0x9e_37_79_b1);
    hash ^= hash >>> 15;
    hash = Math.imul(hash ^ (words[base + 1] as number), 0x85_eb_ca_77);
    hash ^= hash >>> 13;
    hash = Math.imul(hash ^ (words[base + 8] as number), 0xc2_b2_ae_3d);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #hasKey(id: number, key: RecordKey): boolean {
    const page = this.#page(id);
    const base = baseOf(id);
    for (let word = 0; word < KEY_WORDS; word++) {
      if (page[base + word] !== key[word]) return false;
    }
    return true;
  }

  #page(id: number): Uint32Array {
    return this.#pages[id >>> PAGE_SHIFT] as Uint32Array;
  }

  #allocate(): number {
    if (this.#free !== NONE) {
      const id = this.#free;
      this.#free = this.#page(id)[baseOf(id) + OLDER] as number;
      return id;
    }
    const id = this.#slots++;
    if ((id & PAGE_MASK) === 0) this.#pages.push(new Uint32Array(1 << (PAGE_SHIFT + ENTRY_SHIFT)));
    return id;
  }

  #addBucket(hash: number, id: number): void {
    const shard = this.#shards[hash >>> 24] as Shard;
    shard.count += 1;
    if (shard.count * 4 > shard.buckets.length * 3) this.#grow(shard);
    place(shard.buckets, hash, id);
  }

  #grow(shard: Shard): void {
    const old = shard.buckets;
    shard.buckets = new Uint32Array(old.length * 2);
    for (const each of old) {
      if (each === 0) continue;
      const id = each - 1;
      place(shard.buckets, this.#hash(this.#page(id), baseOf(id)), id);
    }
  }

  /** Empties a bucket and moves up what had been put behind it, so that no marks of removed entries pile up. */
  #removeBucket(hash: number, id: number): void {
    const shard = this.#shards[hash >>> 24] as Shard;
    const { buckets } = shard;
    const mask = buckets.length - 1;
    let hole = hash & mask;
    while (buckets[hole] !== id + 1) hole = (hole + 1) & mask;
    for (let bucket = (hole + 1) & mask; buckets[bucket] !== 0; bucket = (bucket + 1) & mask) {
      const other = (buckets[bucket] as number) - 1;
      const home = this.#hash(this.#page(other), baseOf(other)) & mask;
      if (((bucket - home) & mask) >= ((bucket - hole) & mask)) {
        buckets[hole] = other + 1;
        hole = bucket;
      }
    }
    buckets[hole] = 0;
    shard.count -= 1;
  }

  #link(id: number): void {
    const page = this.#page(id);
    const base = baseOf(id);
    page[base + OLDER] = this.#newest;
    page[base + NEWER] = NONE;
    if (this.#newest === NONE) this.#oldest = id;
    else this.#page(this.#newest)[baseOf(this.#newest) + NEWER] = id;
    this.#newest = id;
  }

  #unlink(id: number): void {
    const page = this.#page(id);
    const older = page[baseOf(id) + OLDER] as number;
    const newer = page[baseOf(id) + NEWER] as number;
    if (older === NONE) this.#oldest = newer;
    else this.#page(older)[baseOf(older) + NEWER] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#page(newer)[baseOf(newer) + OLDER] = older;
  }
}

function baseOf(id: number): number {
  return (id & PAGE_MASK) << ENTRY_SHIFT;
}

function place(buckets: Uint32Array, hash: number, id: number): void {
  const mask = buckets.length - 1;
  let bucket = hash & mask;
  while (buckets[bucket] !== 0) bucket = (bucket + 1) & mask;
  buckets[bucket] = id + 1;
}
