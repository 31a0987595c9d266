import fc from 'fast-check';
import { expect, test } from 'vitest';
import { priorityLevel } from './priority.ts';

test.each([
  [0, 5],
  [1, 4],
  [-1, 6],
  [2, 3],
  [-2, 7],
  [100, 0],
  [-(2 ** 31), 10],
  [2 ** 31 - 1, 0],
])('priority %d has level %d of 10', (priority, level) => {
  expect(priorityLevel(priority, 10)).toBe(level);
});

test('a lower number never has a lower level', () => {
  const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(int32, int32, fc.integer({ min: 1, max: 255 }), (a, b, levels) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      expect(priorityLevel(low, levels)).toBeGreaterThanOrEqual(priorityLevel(high, levels));
    }),
  );
});
