/**
 * REAPI's priority (any int32, lower first, 0 by default) as a level of a queue (0 to `levels`, higher first).
 *
 * 0 stands in the middle, so that there is room on both sides; each level above or below it takes one power of two, so
 * that small numbers, which people use, are told apart, and large ones still count.
 */
export function priorityLevel(priority: number, levels: number): number {
  const middle = Math.floor(levels / 2);
  if (priority === 0) return middle;
  const steps = Math.floor(Math.log2(Math.abs(priority))) + 1;
  return priority < 0 ? Math.min(levels, middle + steps) : Math.max(0, middle - steps);
}
