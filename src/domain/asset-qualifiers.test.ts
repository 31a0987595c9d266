import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AssetQualifiers } from './asset-qualifiers.ts';

const URI = 'https://a.example/file';
const SHA = `sha256-${Buffer.alloc(32).toString('base64')}`;

/** Qualifiers of these names and values. */
const qualifiers = (values: Readonly<Record<string, string>>) =>
  new AssetQualifiers(Object.entries(values).map(([name, value]) => ({ name, value })));

describe('headers', () => {
  test('for all URIs and for one are told apart, the latter before the former', () => {
    const read = qualifiers({
      'http_header:X-One': 'all',
      'http_header:X-Two': 'all',
      'http_header_url:1:x-two': 'second',
    });
    expect(Object.fromEntries(read.headersFor(URI, 0))).toEqual({ 'x-one': 'all', 'x-two': 'all' });
    expect(Object.fromEntries(read.headersFor(URI, 1))).toEqual({ 'x-one': 'all', 'x-two': 'second' });
  });

  test('of older Bazels go by URI', () => {
    const read = qualifiers({ 'bazel.auth_headers': JSON.stringify({ [URI]: { Authorization: 'Bearer x' } }) });
    expect(read.headersFor(URI, 0)).toEqual([['authorization', 'Bearer x']]);
    expect(read.headersFor('https://b.example/', 1)).toEqual([]);
  });

  test('are not shown, and no download is held against them', () => {
    const read = qualifiers({ 'http_header:Authorization': 'secret', 'http_header_url:0:Cookie': 'secret' });
    expect(read.shown).toEqual([]);
    expect(read.beyondOriginsOf('blob')).toEqual([]);
  });

  test('are part of what content is known by, unless it has a checksum', () => {
    const values = { 'http_header:Authorization': 'secret' };
    expect(qualifiers(values).identityOf(URI, 0)).toEqual([{ name: 'http_header:authorization', value: 'secret' }]);
    const sum = { 'checksum.sri': SHA };
    expect(qualifiers({ ...values, ...sum }).identityOf(URI, 0)).toEqual(qualifiers(sum).identityOf(URI, 0));
  });

  test('that choose an encoding are passed over', () => {
    expect(qualifiers({ 'http_header:Accept-Encoding': 'gzip' }).headersFor(URI, 0)).toEqual([]);
  });

  test.each([
    ['http_header:', 'x'],
    ['http_header:a b', 'x'],
    ['http_header:x', 'a\r\nhost: b'],
    ['http_header:x', 'a\u0000'],
    ['http_header:Host', 'internal'],
    ['http_header:Range', 'bytes=0-1'],
    ['http_header_url:0:Transfer-Encoding', 'chunked'],
    ['bazel.auth_headers', 'no JSON'],
    ['bazel.auth_headers', '[]'],
    ['bazel.auth_headers', '{"a":{"b":1}}'],
    ['bazel.auth_headers', '{"a":{"b\\n":"c"}}'],
  ])('that no client may set are INVALID_ARGUMENT: %s', (name, value) => {
    expect(() => qualifiers({ [name]: value })).toThrow(/qualifiers/);
  });
});

describe('what downloads can be held against', () => {
  test.each([
    [{ 'checksum.sri': SHA }, []],
    [{ 'bazel.canonical_id': 'x' }, []],
    [{ resource_type: 'application/x-tar' }, []],
    [{ resource_type: 'application/x-git' }, ['resource_type']],
    [{ resource_type: 'nonsense' }, ['resource_type']],
    [{ 'vcs.branch': 'main', directory: 'a' }, ['vcs.branch', 'directory']],
    [{ 'http_header_url:x:y': 'z' }, ['http_header_url:x:y']],
  ])('%j leaves %j', (values, beyond) => {
    expect(qualifiers(values as Record<string, string>).beyondOriginsOf('blob')).toEqual(beyond);
  });
});

test('too many, too long, nameless or double ones are INVALID_ARGUMENT', () => {
  const many = Array.from({ length: 129 }, (_, i) => [`name${i}`, ''] as const);
  expect(() => qualifiers(Object.fromEntries(many))).toThrow('128 at most');
  expect(() => qualifiers({ ['n'.repeat(513)]: '' })).toThrow('512 characters');
  expect(() => qualifiers({ name: 'v'.repeat(16_385) })).toThrow('16384 characters');
  expect(() => qualifiers({ '': 'x' })).toThrow('is empty');
  const double = { name: 'a', value: 'b' };
  expect(() => new AssetQualifiers([double, double])).toThrow('comes twice');
});

test('whatever clients send is read, or INVALID_ARGUMENT', () => {
  const name = fc.oneof(
    fc.constantFrom('checksum.sri', 'resource_type', 'bazel.auth_headers', 'http_header:', 'http_header_url:0:x'),
    fc.string().map((text) => `http_header:${text}`),
    fc.tuple(fc.string({ maxLength: 5 }), fc.string()).map((parts) => `http_header_url:${parts.join(':')}`),
    fc.string(),
  );
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.array(fc.constantFrom('sha256-', 'AAAA', SHA, ' ', 'sha1-x', '=')).map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(fc.array(fc.record({ name, value }), { maxLength: 5 }), (list) => {
      let told: unknown;
      try {
        const read = new AssetQualifiers(list);
        const lines = read.headersFor(URI, 0).filter(([header, text]) => /[\r\n\0]/.test(header + text));
        told = lines.length === 0 ? 'read' : lines;
      } catch (thrown) {
        told = String(thrown);
      }
      expect(told).toMatch(/^(?:read|INVALID_ARGUMENT: qualifiers.*)$/s);
    }),
    { numRuns: 300 },
  );
});
