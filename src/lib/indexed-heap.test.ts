import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IndexedHeap } from './indexed-heap.ts';

test('whatever is set, replaced and deleted, the smallest of what is left comes out next', () => {
  const step = fc.record({
    verb: fc.constantFrom('set', 'delete', 'pop'),
    key: fc.integer({ min: 0, max: 12 }),
    value: fc.integer({ min: 0, max: 50 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const heap = new IndexedHeap<number, number>((a, b) => a < b);
      const model = new Map<number, number>();
      for (const { verb, key, value } of steps) {
        if (verb === 'set') {
          heap.set(key, value);
          model.set(key, value);
        } else if (verb === 'delete') {
          if (heap.delete(key) !== model.delete(key)) throw new Error(`deletion of ${key} differs`);
        } else {
          const popped = heap.pop();
          const smallest = model.size === 0 ? undefined : Math.min(...model.values());
          if (popped?.[1] !== smallest) throw new Error(`popped ${popped?.[1]}, not ${smallest}`);
          if (popped !== undefined) model.delete(popped[0]);
        }
        expect(heap.size).toBe(model.size);
        expect(heap.get(key)).toBe(model.get(key));
        expect(heap.peek()?.[1]).toBe(model.size === 0 ? undefined : Math.min(...model.values()));
      }
    }),
  );
});
