import { expect, test } from 'vitest';
import { passedOn } from './exit-codes.ts';

test.each([
  [0, 0],
  [1, 1],
  [255, 255],
  [256, 1],
  [-1, 255],
  [0x7fff_ff00, 1],
])('the exit code %i of an action is passed on as %i, and never as success unless it is', (exitCode, passed) => {
  expect(passedOn(exitCode)).toBe(passed);
});
