import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { SHA256 } from './digest-function.ts';
import { formatIntegrity, parseIntegrity } from './subresource-integrity.ts';

const sum = (algorithm: string) => createHash(algorithm).update('content');

test('checksums of the known algorithms are read, with options behind them', () => {
  const value = ['sha256', 'sha384', 'sha512'].map((each) => `${each}-${sum(each).digest('base64')}`).join(' \n');
  const read = parseIntegrity(`${value}?ct=text/plain`, 'field');
  expect(read.map(({ digestFunction, hash }) => [digestFunction.name, hash])).toEqual([
    ['SHA256', sum('sha256').digest('hex')],
    ['SHA384', sum('sha384').digest('hex')],
    ['SHA512', sum('sha512').digest('hex')],
  ]);
});

test('algorithms that are not known are passed over', () => {
  const known = `sha256-${sum('sha256').digest('base64')}`;
  expect(parseIntegrity(`blake3-AAAA ${known}`, 'field')).toEqual([
    { digestFunction: SHA256, hash: sum('sha256').digest('hex') },
  ]);
  expect(parseIntegrity('md5-AAAA', 'field')).toEqual([]);
});

test.each(['', ' ', 'sha256', 'sha256-', 'sha256-AAAA', 'sha256 AAAA', `sha256:${sum('sha256').digest('hex')}`])(
  'a malformed value is INVALID_ARGUMENT that names the field: %j',
  (value) => {
    expect(() => parseIntegrity(value, 'checksum.sri')).toThrow('checksum.sri');
  },
);

test('a hash is written as it is read', () => {
  const hash = sum('sha256').digest('hex');
  expect(parseIntegrity(formatIntegrity('sha256', hash), 'field')).toEqual([{ digestFunction: SHA256, hash }]);
});
