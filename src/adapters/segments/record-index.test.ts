import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RecordIndex, ROW_WORDS } from './record-index.ts';
import { digestRecordKey, KEY_WORDS, keyHash, keySizeBytes, keyTag, newRecordKey } from './record-key.ts';

/** Few keys, alike in most words, so that they meet in the hash table. */
const key = (n: number) =>
  digestRecordKey((n % 7).toString(16).padStart(64, '0'), Math.floor(n / 7), 1, newRecordKey());

type Step =
  | { readonly kind: 'insert'; readonly n: number; readonly place: number }
  | { readonly kind: 'remove'; readonly n: number }
  | { readonly kind: 'touch'; readonly n: number }
  | { readonly kind: 'relocate'; readonly n: number; readonly place: number };

const n = fc.integer({ min: 0, max: 300 });
const place = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('insert' as const), n, place }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), n }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('touch' as const), n }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('relocate' as const), n, place }) },
);

/** Keys in order of use, the oldest first. */
function order(index: RecordIndex): number[] {
  const found: number[] = [];
  for (let id = index.oldest(); id >= 0; id = index.newerThan(id)) {
    const words = index.readKey(id, newRecordKey());
    found.push(keySizeBytes(words) * 7 + Number.parseInt(keyHash(words, 64), 16));
  }
  return found;
}

describe('RecordIndex', () => {
  test('holds what a map in order of use holds, after any history', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), fc.integer(), (steps, seed) => {
        const index = new RecordIndex(seed);
        const model = new Map<number, number>();
        for (const [now, each] of steps.entries()) {
          const id = index.find(key(each.n));
          expect(id >= 0).toBe(model.has(each.n));
          if (each.kind === 'insert' && id < 0) {
            index.insert(key(each.n), 1, each.place, 5, now);
            model.set(each.n, each.place);
          } else if (each.kind === 'remove' && id >= 0) {
            index.remove(id);
            model.delete(each.n);
          } else if (each.kind === 'touch' && id >= 0) {
            index.touch(id, now);
            const value = model.get(each.n) as number;
            model.delete(each.n);
            model.set(each.n, value);
          } else if (each.kind === 'relocate' && id >= 0) {
            index.relocate(id, 2, each.place);
            model.set(each.n, each.place);
          }
        }
        expect(index.count).toBe(model.size);
        expect(order(index)).toEqual([...model.keys()]);
        for (const [each, value] of model) expect(index.offsetOf(index.find(key(each)))).toBe(value);
      }),
      { numRuns: 60 },
    );
  });

  test('rows that are copied out and inserted again make the same index', () => {
    const index = new RecordIndex(1);
    for (let i = 0; i < 5000; i++) index.insert(key(i), 3, i, i * 2, 1_000_000 + ((i * 7919) % 5000));
    for (let i = 0; i < 5000; i += 3) index.remove(index.find(key(i)));
    const copy = new RecordIndex(2);
    const rows = new Uint32Array(100 * ROW_WORDS);
    for (let slot = 0; slot < index.slots; ) {
      const copied = index.copyRows(slot, rows);
      slot = copied.next;
      for (let row = 0; row < copied.rows; row++) {
        const words = rows.subarray(row * ROW_WORDS, (row + 1) * ROW_WORDS);
        const [segment, at, length, lastUse] = words.subarray(KEY_WORDS) as unknown as [number, number, number, number];
        copy.insert(words.subarray(0, KEY_WORDS), segment, at, length, lastUse);
      }
    }
    copy.sortByLastUse();
    index.sortByLastUse();
    expect(copy.count).toBe(index.count);
    expect(order(copy).map((each) => copy.lastUseOf(copy.find(key(each))))).toEqual(
      order(index).map((each) => index.lastUseOf(index.find(key(each)))),
    );
    expect(new Set(order(copy))).toEqual(new Set(order(index)));
  });

  test('grows to many entries and gives every one back', () => {
    const index = new RecordIndex(12_345);
    const many = (i: number) => digestRecordKey(i.toString(16).padStart(64, '0'), i, 1, newRecordKey());
    for (let i = 0; i < 50_000; i++) index.insert(many(i), 1, i, 1, 1);
    for (let i = 0; i < 50_000; i++) expect(index.offsetOf(index.find(many(i)))).toBe(i);
    expect(index.find(many(50_000))).toBe(-1);
  });
});

describe('record keys', () => {
  test('a key gives back hash, size and tag', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[0-9a-f]{64}$/),
        fc.maxSafeNat(),
        fc.integer({ min: 0, max: 255 }),
        (hash, size, tag) => {
          const made = digestRecordKey(hash, size, tag, newRecordKey());
          expect([keyHash(made, 64), keySizeBytes(made), keyTag(made)]).toEqual([hash, size, tag]);
        },
      ),
    );
  });

  test('memory that is used again keeps nothing of a longer hash', () => {
    const memory = digestRecordKey('f'.repeat(64), 9, 1, newRecordKey());
    expect(keyHash(digestRecordKey('1'.repeat(40), 9, 2, memory), 64)).toBe('1'.repeat(40).padEnd(64, '0'));
  });
});
