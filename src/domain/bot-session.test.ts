import { expect, test } from 'vitest';
import { fitsPattern } from './bot-session.ts';

test.each([
  ['bot-1', 'bot-1', true],
  ['bot-1', 'bot-12', false],
  ['bot-*', 'bot-12', true],
  ['*', '', true],
  ['*.host', 'main.host', true],
  ['a*a', 'a', false],
  ['a*b*c', 'a-b-c', true],
  ['a*b*b', 'ab', false],
  ['*b*', 'abc', true],
  ['.*', 'abc', false],
])('the pattern %s and the text %s: %s', (pattern, text, fits) => {
  expect(fitsPattern(pattern, text)).toBe(fits);
});
