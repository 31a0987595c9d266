import { describe, expect, it } from 'vitest';
import { formatByteSize, parseByteSize } from './byte-size.ts';

describe('parseByteSize', () => {
  it.each([
    ['4096', 4096],
    ['1k', 1024],
    ['500M', 500 * 1024 ** 2],
    ['10G', 10 * 1024 ** 3],
    ['1.5 TiB', 1.5 * 1024 ** 4],
    ['2GB', 2 * 1024 ** 3],
    [' 3 b ', 3],
  ])('reads %j', (text, bytes) => expect(parseByteSize(text)).toBe(bytes));

  it.each(['', 'G', '-1', '10X', '1e3', '10 G G', '9000P'])('refuses %j', (text) => {
    expect(parseByteSize(text)).toBeUndefined();
  });
});

it('formats sizes for people', () => {
  expect([0, 1023, 1024, 1536, 10 * 1024 ** 3].map(formatByteSize)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '10 GiB',
  ]);
});
