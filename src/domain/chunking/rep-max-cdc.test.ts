import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RepMaxCdc, type RepMaxCdcParameters } from './rep-max-cdc.ts';

/** SHA-256 of the numbers from 0 on, one behind the other. */
const dataOf = (hashes: number, period = hashes, times = 1) =>
  Buffer.concat(
    Array.from({ length: hashes }, (_, i) => {
      const hash = createHash('sha256')
        .update(`${i % period}`)
        .digest();
      return Buffer.concat(Array.from({ length: times }, () => hash));
    }),
  );

const DATA = dataOf(8_192);

function cutAll(parameters: RepMaxCdcParameters, data: Uint8Array = DATA): number[] {
  const chunker = new RepMaxCdc(parameters);
  const cutter = chunker.begin();
  const lengths: number[] = [];
  for (let at = 0; at < data.byteLength; ) {
    const length = cutter.cut(data.subarray(at, at + chunker.windowBytes));
    lengths.push(length);
    at += length;
  }
  return lengths;
}

/** The rule, word for word: looks through the whole window anew for each chunk, and again for each limit. */
function cutSlowly({ minimumBytes, horizonBytes }: RepMaxCdcParameters, data: Uint8Array): number[] {
  const gear = Array.from({ length: 256 }, (_, byte) =>
    createHash('md5').update(new Uint8Array(64).fill(byte)).digest().readBigUInt64BE(0),
  );
  const hashAt = (end: number) => {
    let hash = 0n;
    for (let i = end - 64; i < end; i++) hash = BigInt.asUintN(64, (hash << 1n) + (gear[data[i] as number] as bigint));
    return hash;
  };
  const hashes = new Map<number, bigint>();
  const known = (end: number) => {
    if (!hashes.has(end)) hashes.set(end, hashAt(end));
    return hashes.get(end) as bigint;
  };
  const lengths: number[] = [];
  for (let at = 0; at < data.byteLength; ) {
    const left = Math.min(data.byteLength - at, 2 * minimumBytes + horizonBytes);
    let length = left;
    if (left >= 2 * minimumBytes) {
      let limit = left - minimumBytes;
      do {
        length = minimumBytes;
        for (let place = minimumBytes; place <= limit; place++) {
          if (known(at + place) > known(at + length)) length = place;
        }
        limit = length - minimumBytes;
      } while (length >= 2 * minimumBytes);
    }
    lengths.push(length);
    at += length;
  }
  return lengths;
}

/** What buildbarn/go-cdc 0.0.10, which REAPI names as the reference, makes of the same content. */
describe('the reference cuts at the same places', () => {
  test.each([
    [16_384, 131_072, 11, [18_307, 26_486, 29_448, 16_388, 17_503, 26_041, 19_688, 26_424, 32_125, 28_206, 21_528]],
    [4_096, 32_768, 48, [5_818, 4_427, 5_113, 7_235, 7_545, 4_242, 4_589, 5_824, 4_667, 4_220, 5_039, 4_805, 5_437]],
    [4_096, 4_096, 42, [5_818, 5_502, 6_987, 4_286, 7_545, 4_242, 6_724, 6_914, 5_662, 7_794, 7_487, 5_280, 5_657]],
    [8_192, 0, 32, Array.from({ length: 32 }, () => 8_192)],
    [8_192, 100, 31, [8_248, 8_270, 8_283, 8_199, 8_285, 8_269, 8_211, 8_220, 8_256, 8_208, 8_240, 8_240, 8_279]],
    [5_000, 12_345, 39, [5_818, 9_540, 7_235, 7_545, 8_831, 5_824, 8_887, 9_844, 5_437, 5_280, 5_657, 5_184, 9_088]],
  ])('at least %i bytes, horizon %i', (minimumBytes, horizonBytes, count, first) => {
    const lengths = cutAll({ minimumBytes, horizonBytes });
    expect(lengths.slice(0, first.length)).toEqual(first);
    expect(lengths).toHaveLength(count);
  });

  test('with the sizes that REAPI recommends', () => {
    const lengths = cutAll({ minimumBytes: 262_144, horizonBytes: 2_097_152 }, dataOf(98_304));
    expect(lengths).toEqual([500_075, 281_268, 291_291, 475_564, 415_160, 265_714, 264_910, 341_233, 310_513]);
  });

  test('in content that repeats, where places are equally good', () => {
    const lengths = cutAll({ minimumBytes: 4_096, horizonBytes: 32_768 }, dataOf(1_024, 7, 8));
    expect(lengths).toEqual([4_133, ...Array.from({ length: 47 }, () => 5_376), 5_339]);
    const zeros = cutAll({ minimumBytes: 4_096, horizonBytes: 32_768 }, new Uint8Array(100_000));
    expect(zeros).toEqual([...Array.from({ length: 23 }, () => 4_096), 5_792]);
  });
});

/** Content of few different bytes, so that hashes come again, and of many. */
const content = fc.oneof(
  fc.uint8Array({ maxLength: 3_000 }),
  fc.array(fc.constantFrom(0, 1, 255), { maxLength: 3_000 }).map((bytes) => Uint8Array.from(bytes)),
);
const parameters = fc.record({
  minimumBytes: fc.integer({ min: 64, max: 200 }),
  horizonBytes: fc.integer({ min: 0, max: 900 }),
});

describe('whatever the content', () => {
  test('what is remembered between chunks changes nothing', () => {
    fc.assert(
      fc.property(parameters, content, (sizes, data) => {
        expect(cutAll(sizes, data)).toEqual(cutSlowly(sizes, data));
      }),
      { numRuns: 25 },
    );
  });

  test('chunks have at least the least size and less than twice that, and make the whole', () => {
    fc.assert(
      fc.property(parameters, content, (sizes, data) => {
        const lengths = cutAll(sizes, data);
        for (const length of lengths) expect(length).toBeLessThan(2 * sizes.minimumBytes);
        const least = data.byteLength >= sizes.minimumBytes ? sizes.minimumBytes : 0;
        for (const length of lengths) expect(length).toBeGreaterThanOrEqual(least);
        expect(lengths.reduce((sum, each) => sum + each, 0)).toBe(data.byteLength);
      }),
      { numRuns: 50 },
    );
  });

  test('what stands before it does not change for long where content is cut', () => {
    const ends = (data: Uint8Array, shift: number) => {
      let at = -shift;
      return cutAll({ minimumBytes: 1_024, horizonBytes: 8_192 }, data).map((length) => (at += length));
    };
    const plain = new Set(ends(DATA, 0));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 2_000 }), (before) => {
        const shifted = ends(Buffer.concat([before, DATA]), before.byteLength);
        const strange = shifted.filter((end) => end > 64 * 1_024 && !plain.has(end));
        expect(strange).toEqual([]);
      }),
      { numRuns: 10 },
    );
  });
});

test.each([
  [63, 0],
  [64.5, 0],
  [1_024, -1],
  [1_024, 0.5],
])('a least size of %d and a horizon of %d are refused', (minimumBytes, horizonBytes) => {
  expect(() => new RepMaxCdc({ minimumBytes, horizonBytes })).toThrow(RangeError);
});
