import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  DIGEST_FUNCTIONS,
  type DigestFunction,
  digestFunctionBySegment,
  digestFunctionByWireValue,
  inferDigestFunction,
} from './digest-function.ts';

/** The bytes that published vectors of hash trees use: 0 to 250, over and over. */
function counting(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => i % 251));
}

function named(name: string): DigestFunction {
  return DIGEST_FUNCTIONS.find((each) => each.name === name) as DigestFunction;
}

test('every function of the protocol is here that is not special to one client', () => {
  expect(DIGEST_FUNCTIONS.map((each) => each.name)).toEqual([
    'SHA256',
    'BLAKE3',
    'SHA256TREE',
    'SHA384',
    'SHA512',
    'SHA1',
    'MD5',
  ]);
});

describe('published hashes', () => {
  test.each([
    ['SHA256', 'abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
    ['SHA1', 'abc', 'a9993e364706816aba3e25717850c26c9cd0d89d'],
    ['MD5', 'abc', '900150983cd24fb0d6963f7d28e17f72'],
    [
      'SHA384',
      'abc',
      'cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7',
    ],
    [
      'SHA512',
      'abc',
      'ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
        '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
    ],
    ['BLAKE3', '', 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'],
    ['BLAKE3', 'abc', '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85'],
    ['SHA256TREE', 'abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ])("%s of '%s'", (name, text, hash) => {
    expect(named(name).hash(Buffer.from(text))).toBe(hash);
  });

  test.each([
    [1_025, '36c0998b21839ef74300b9de47d96d1f62323dc81f2b4231e98ce70cd6ffe750'],
    [2_048, 'b584996386f01793751c5cf0c39561f51b7e9924b818943b3cb2f6928cea0fa9'],
    [2_049, '7318d2029b0392edf4cf109edb5a086b4bdadbb7950f710a1483eb881d9e5d44'],
    [3_072, 'dfc61c0a041f79d55d53bfe31c6cda7df77fdc8e6fbac1143d70b7144fdf6937'],
    [3_073, '517d20c0e5835f060a1bd6388ed68574f63424bdac2a2c3a35a5c2ef859d8fe2'],
    [4_096, '2f72bb93880012168c027f6781527ff08177c7c8dccb443f4d2c6389c186633d'],
    [4_097, 'c3ec942c1b8f4580320d3a06bcf4f8fe1f5db2be797ab67061ea4c2a95f208f2'],
    [5_120, 'a76924f6535b4b473377c285ec27acc84cc58e95ab1e9e29b1bb6a4a3fb9d0b3'],
    [5_121, '98f987c3e9fc057a70873715b679b89a663d0df806859b6ce73f8379b06a10ff'],
    [6_144, '372f988af412041b680ab236feef45626380062beb7514bbf93607aedd28fc9a'],
    [6_145, '6dc4b78efd770453417b2ffdc74b27054793efe6122ecd7ee098670ed7c4651c'],
    [7_168, '43686312c0cabccf9d5ad509efa096e3d743c63c7a51f122473c57949e4dd9a0'],
    [7_169, 'ad729297ab36cd099665b27c4247474a5518e4cd0be443f5f31d95edda08429b'],
    [8_192, 'fcfdde6fe59178e17708c5ba647919c3b141a44c9d1970782e597e1465266932'],
    [8_193, '113c6e3a2452f388b6fad13dfab66ee0bff597a0a9a517ad8d0165f7190b603e'],
    [16_384, 'a7a10149a8cb00be537000560edb83b196306b780b72fad8af218f369f75fc19'],
    [31_744, '2cdf7662636c173d4b236f6ea03bf84c65e7f6487b53b2a61c420e26cf8a98c7'],
    [102_400, '0668d69e5331840d2f1823d717b7b3f5d1fdc8a09504cddb692b87ff83d50e5f'],
  ])('SHA256TREE of %d bytes', (length, hash) => {
    expect(named('SHA256TREE').hash(counting(length))).toBe(hash);
  });
});

test.each(DIGEST_FUNCTIONS)('$name: the chunks in which bytes come make no difference', (digestFunction) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 9_000 }),
      fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1 }),
      (length, steps) => {
        const data = counting(length);
        const hasher = digestFunction.createHasher();
        for (let at = 0, i = 0; at < length; i++) {
          const step = steps[i % steps.length] as number;
          hasher.update(data.subarray(at, at + step));
          at += step;
        }
        const hash = hasher.digest();
        expect(hash).toBe(digestFunction.hash(data));
        expect(hash).toHaveLength(digestFunction.hashLength);
      },
    ),
    { numRuns: 50 },
  );
});

test.each(DIGEST_FUNCTIONS)('$name is found by its number and its segment', (digestFunction) => {
  expect(digestFunctionByWireValue(digestFunction.wireValue)).toBe(digestFunction);
  expect(digestFunctionBySegment(digestFunction.name.toLowerCase())).toBe(digestFunction);
  expect(digestFunction.emptyHash).toBe(digestFunction.hash(new Uint8Array(0)));
});

test('a function is inferred from the length of a hash only where names leave its segment out', () => {
  const inferred = [32, 40, 64, 96, 128].map((length) => inferDigestFunction(length)?.name);
  expect(inferred).toEqual(['MD5', 'SHA1', 'SHA256', 'SHA384', 'SHA512']);
  expect(inferDigestFunction(66)).toBeUndefined();
});
