import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ANY_BOT, createCapability, createRequirement, firstUnmet, fits, parseRequirementKey } from './platform.ts';

const property = fc.record({ name: fc.string({ maxLength: 4 }), value: fc.string({ maxLength: 4 }) });

describe('createRequirement', () => {
  test('equal sets of properties have equal keys, whatever their order and doubles', () => {
    fc.assert(
      fc.property(fc.array(property), (properties) => {
        const shuffled = [...properties, ...properties].reverse();
        expect(createRequirement(shuffled)).toEqual(createRequirement(properties));
      }),
    );
  });

  test('different sets of properties have different keys', () => {
    fc.assert(
      fc.property(fc.array(property), fc.array(property), (left, right) => {
        const pairs = (list: typeof left) =>
          JSON.stringify([...new Set(list.map(({ name, value }) => JSON.stringify([name, value])))].sort());
        const sameKey = createRequirement(left).key === createRequirement(right).key;
        expect(sameKey).toBe(pairs(left) === pairs(right));
      }),
    );
  });

  test('the key can be read, and its separators are encoded within a value', () => {
    const requirement = createRequirement([
      { name: 'OSFamily', value: 'linux' },
      { name: 'ISA', value: 'a;b=c%' },
    ]);
    expect(requirement.key).toBe('ISA=a%3Bb%3Dc%25;OSFamily=linux');
  });
});

describe('fits', () => {
  const capability = createCapability([
    { name: 'ISA', value: 'x86-64' },
    { name: 'ISA', value: 'x86-32' },
    { name: 'OSFamily', value: 'linux' },
  ]);

  test('every bot fits the empty requirement', () => {
    expect(fits(ANY_BOT, createCapability([]))).toBe(true);
  });

  test('a bot fits by any of its values, and by several of one name together', () => {
    const both = createRequirement([
      { name: 'ISA', value: 'x86-32' },
      { name: 'ISA', value: 'x86-64' },
    ]);
    expect(fits(both, capability)).toBe(true);
  });

  test('one pair that the bot does not offer is enough not to fit, and is named', () => {
    const requirement = createRequirement([
      { name: 'ISA', value: 'x86-64' },
      { name: 'OSFamily', value: 'macos' },
    ]);
    expect(fits(requirement, capability)).toBe(false);
    expect(firstUnmet(requirement, capability)).toEqual({ name: 'OSFamily', value: 'macos' });
  });
});

describe('the key of a requirement', () => {
  test.each([
    [[]],
    [[{ name: 'ISA', value: 'x86-64' }]],
    [
      [
        { name: 'a;=%\n', value: '' },
        { name: 'a;=%\n', value: '%3B' },
        { name: 'OSFamily', value: 'Linux ü' },
      ],
    ],
  ])('is read back as the requirement: %j', (properties) => {
    const requirement = createRequirement(properties);
    expect(parseRequirementKey(requirement.key)).toEqual(requirement);
  });

  test.each(['ISA', '=x', 'a=b=c', ';', 'a=b;'])('is not %j', (text) => {
    expect(parseRequirementKey(text)).toBeUndefined();
  });
});
