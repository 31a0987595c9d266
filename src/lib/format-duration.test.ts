import { expect, test } from 'vitest';
import { formatDuration } from './format-duration.ts';

test.each([
  [0.25, '0.3 ms'],
  [12.4, '12 ms'],
  [3_400, '3.4 s'],
  [125_000, '2 min 5 s'],
  [3_720_000, '1 h 2 min'],
])('%d ms is written %s', (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});
