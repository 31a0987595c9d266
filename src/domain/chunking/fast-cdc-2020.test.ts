import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FastCdc2020, type FastCdc2020Parameters } from './fast-cdc-2020.ts';

/** SHA-256 of the numbers from 0 on, one behind the other: 256 KiB without a pattern. */
const DATA = Buffer.concat(Array.from({ length: 8_192 }, (_, i) => createHash('sha256').update(`${i}`).digest()));

function cutAll(parameters: FastCdc2020Parameters, data: Uint8Array = DATA): number[] {
  const chunker = new FastCdc2020(parameters);
  const lengths: number[] = [];
  for (let at = 0; at < data.byteLength; ) {
    const length = chunker.cut(data.subarray(at, at + chunker.maximumBytes));
    lengths.push(length);
    at += length;
  }
  return lengths;
}

// Taken from this implementation when it gave all twelve published vectors, whose input is a picture.
test.each([
  [0, [17_408, 28_564, 17_570, 14_103, 22_052, 16_451, 13_004, 16_806, 21_075, 18_984, 9_986, 17_178, 16_402]],
  [666, [16_962, 24_597, 20_130, 17_129, 18_339, 19_412, 7_282, 17_400, 21_291, 20_425, 18_423, 17_766, 16_588]],
])('seed %d cuts where it always did', (seed, lengths) => {
  expect(cutAll({ averageBytes: 16_384, seed }).slice(0, lengths.length)).toEqual(lengths);
});

describe('whatever the content', () => {
  test('chunks have between a quarter and four times the average, but for the last', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40_000 }), (data) => {
        const lengths = cutAll({ averageBytes: 1_024, seed: 0 }, data);
        for (const length of lengths) expect(length).toBeLessThanOrEqual(4_096);
        for (const length of lengths.slice(0, -1)) expect(length).toBeGreaterThanOrEqual(256);
        expect(lengths.reduce((sum, each) => sum + each, 0)).toBe(data.byteLength);
      }),
      { numRuns: 50 },
    );
  });

  test('content without a place to cut is cut at the greatest length', () => {
    expect(cutAll({ averageBytes: 1_024, seed: 0 }, new Uint8Array(10_000))).toEqual([4_096, 4_096, 1_808]);
  });
});

test('content that was shifted is cut at the same places again', () => {
  const ends = (data: Uint8Array, shift: number) => {
    let at = -shift;
    return new Set(cutAll({ averageBytes: 4_096, seed: 0 }, data).map((length) => (at += length)));
  };
  const shifted = ends(Buffer.concat([Buffer.from('shift'), DATA]), 5);
  const kept = [...ends(DATA, 0)].filter((each) => shifted.has(each));
  expect(kept.length).toBeGreaterThan(40);
});

test.each([512, 3_000, 2 * 1024 * 1024])('an average of %d bytes is refused', (averageBytes) => {
  expect(() => new FastCdc2020({ averageBytes, seed: 0 })).toThrow(RangeError);
});

test('what stands before it does not change for long where content is cut', () => {
  const ends = (data: Uint8Array, shift: number) => {
    let at = -shift;
    return cutAll({ averageBytes: 1_024, seed: 0 }, data).map((length) => (at += length));
  };
  const plain = new Set(ends(DATA, 0));
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 2_000 }), (before) => {
      const shifted = ends(Buffer.concat([before, DATA]), before.byteLength);
      const strange = shifted.filter((end) => end > 64 * 1_024 && !plain.has(end));
      expect(strange).toEqual([]);
    }),
    { numRuns: 20 },
  );
});
