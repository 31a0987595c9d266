import { InvalidArgumentError } from 'commander';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { digestKey, digestOf, missingBlobSubject } from '../domain/digest.ts';
import { DIGEST_FUNCTIONS } from '../domain/digest-function.ts';
import { parseDigestArgument } from './digest-argument.ts';

const hash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

test.each([`${hash}/7`, `blobs/${hash}/7`, `/blobs/${hash}/7`])('%s is read', (text) => {
  expect(parseDigestArgument(text)).toMatchObject({ hash, sizeBytes: 7 });
});

test.each(['', hash, `${hash}/`, `${hash}/x`, `${hash}/-1`, 'abc/3', `${hash.toUpperCase()}/7`, `md9/${hash}/7`])(
  '%j is refused',
  (text) => {
    expect(() => parseDigestArgument(text)).toThrow(InvalidArgumentError);
  },
);

test('what messages call a blob is read back, of every digest function', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...DIGEST_FUNCTIONS),
      fc.uint8Array(),
      fc.boolean(),
      (digestFunction, data, isSubject) => {
        const digest = digestOf(data, digestFunction);
        expect(parseDigestArgument(isSubject ? missingBlobSubject(digest) : digestKey(digest))).toEqual(digest);
      },
    ),
  );
});

test('any other text is refused in the words of the command line', () => {
  const piece = fc.oneof(
    fc.constantFrom(hash, 'blobs', 'sha1', 'blake3', '7', '-1', '1e3', '9'.repeat(16)),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 4 }), (pieces) => {
      let told: unknown;
      try {
        told = parseDigestArgument(pieces.join('/')).hash.length;
      } catch (thrown) {
        told = thrown;
      }
      expect(typeof told === 'number' || told instanceof InvalidArgumentError).toBe(true);
    }),
    { numRuns: 300 },
  );
});
