import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createDigest, digestKey, digestOf, digestsEqual, emptyDigest, missingBlobSubject } from './digest.ts';
import { DIGEST_FUNCTIONS, SHA256 } from './digest-function.ts';

const hash = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

describe('createDigest', () => {
  test('takes the published hash of abc', () => {
    expect(digestOf(Buffer.from('abc'))).toEqual(createDigest(SHA256, hash, 3n));
  });

  test.each([
    ['hash', hash.toUpperCase(), 3, 'digest.hash: a hash consists of the characters 0-9 and a-f'],
    ['hash', hash.slice(1), 3, 'digest.hash: a SHA256 hash has 64 hexadecimal characters, not 63'],
    ['hash', '', 0, 'digest.hash: a SHA256 hash has 64 hexadecimal characters, not 0'],
    ['size', hash, -1, 'digest.size_bytes: a size is between 0 and 2^53 - 1, not -1'],
    ['size', hash, 2 ** 53, 'digest.size_bytes: a size is between 0 and 2^53 - 1, not 9007199254740992'],
    ['size', hash, 1.5, 'digest.size_bytes: a size is between 0 and 2^53 - 1, not 1.5'],
  ])('refuses a bad %s: %s %d', (_what, text, size, message) => {
    expect(() => createDigest(SHA256, text, size)).toThrow(message);
  });

  test('names the field that the digest came in', () => {
    expect(() => createDigest(SHA256, 'x', 1, 'action_digest')).toThrow('action_digest.hash');
  });
});

test('digests that differ in size alone are different', () => {
  const [a, b] = [createDigest(SHA256, hash, 3), createDigest(SHA256, hash, 4)];
  expect(digestsEqual(a, b)).toBe(false);
  expect(digestKey(a)).not.toBe(digestKey(b));
});

test('the subject of a missing blob has the form that Bazel looks for', () => {
  expect(missingBlobSubject(createDigest(SHA256, hash, 3))).toBe(`blobs/${hash}/3`);
});

test('the empty blob has size 0', () => {
  expect(emptyDigest().sizeBytes).toBe(0);
});

describe('whatever comes from outside', () => {
  const functions = fc.constantFrom(...DIGEST_FUNCTIONS);
  const hashOf = (characters: string, length: number) =>
    fc.string({ unit: fc.constantFrom(...characters.split('')), minLength: length, maxLength: length });
  const hashes = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom(...'0123456789abcdefABF'.split('')), minLength: 30, maxLength: 130 }),
    functions.chain((each) => hashOf('0123456789abcdefg', each.hashLength)),
  );
  const sizes = fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n }),
    fc.double(),
    fc.integer(),
    fc.maxSafeInteger(),
  );

  test('is a digest of the right form, or INVALID_ARGUMENT that names the field', () => {
    fc.assert(
      fc.property(functions, hashes, sizes, (digestFunction, text, size) => {
        const isGood =
          new RegExp(`^[0-9a-f]{${digestFunction.hashLength}}$`).test(text) &&
          Number(size) >= 0 &&
          Number.isSafeInteger(Number(size)) &&
          BigInt(Number(size)) === BigInt(size);
        let told: unknown;
        try {
          told = createDigest(digestFunction, text, size, 'field');
        } catch (thrown) {
          told = String(thrown);
        }
        const refusal = expect.stringMatching(/^INVALID_ARGUMENT: field\.(?:hash|size_bytes): /);
        expect(told).toEqual(isGood ? { digestFunction, hash: text, sizeBytes: Number(size) } : refusal);
      }),
      { numRuns: 300 },
    );
  });

  test('different digests have different keys and subjects', () => {
    const digests = functions.chain((digestFunction) =>
      fc
        .tuple(hashOf('ab', digestFunction.hashLength), fc.nat({ max: 12 }))
        .map(([text, size]) => createDigest(digestFunction, text, size)),
    );
    fc.assert(
      fc.property(digests, digests, (a, b) => {
        expect(digestKey(a) === digestKey(b)).toBe(digestsEqual(a, b));
        expect(missingBlobSubject(a) === missingBlobSubject(b)).toBe(digestsEqual(a, b));
      }),
    );
  });
});
