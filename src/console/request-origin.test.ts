import { describe, expect, test } from 'vitest';
import { isKnownHost, isOurOwnPage } from './request-origin.ts';

describe('the name that a page is shown under', () => {
  test.each(['127.0.0.1:50052', '[::1]:50052', 'localhost:50052', 'LOCALHOST', '10.1.2.3', 'warren.example:8080'])(
    'may be %s',
    (host) => {
      expect(isKnownHost(host, ['Warren.example'])).toBe(true);
    },
  );

  test.each([
    undefined,
    '',
    'attacker.example',
    'localhost.attacker.example',
    'warren.example@attacker.example',
    'a b',
  ])('may not be %s', (host) => {
    expect(isKnownHost(host, ['warren.example'])).toBe(false);
  });
});

describe('a request that changes something', () => {
  const own = { host: '127.0.0.1:50052', origin: 'http://127.0.0.1:50052', site: 'same-origin' };

  test('of our own page is taken, also from behind a proxy that speaks TLS', () => {
    expect(isOurOwnPage(own)).toBe(true);
    expect(isOurOwnPage({ ...own, site: undefined })).toBe(true);
    expect(isOurOwnPage({ host: 'w.example', origin: 'https://w.example', site: undefined })).toBe(true);
  });

  test.each([
    { ...own, origin: 'http://attacker.example' },
    { ...own, origin: 'null' },
    { ...own, origin: undefined },
    { ...own, host: undefined },
    { ...own, site: 'same-site' },
    { ...own, site: 'cross-site' },
    { ...own, origin: 'http://127.0.0.1:8080' },
  ])('of anyone else is not: %o', (request) => {
    expect(isOurOwnPage(request)).toBe(false);
  });
});
