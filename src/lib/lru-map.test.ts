import { expect, test } from 'vitest';
import { LruMap } from './lru-map.ts';

test('forgets what was least recently used once the limit is passed', () => {
  const map = new LruMap<string, number>(2);
  map.set('a', 1);
  map.set('b', 2);
  map.get('a');
  map.set('c', 3);
  expect([...map.entries()]).toEqual([
    ['a', 1],
    ['c', 3],
  ]);
});

test('counts weights, and replaces a weight with its entry', () => {
  const map = new LruMap<string, string>(10, (value) => value.length);
  map.set('a', '12345');
  map.set('a', '123');
  expect(map.weight).toBe(3);
  map.set('b', '1234567');
  expect(map.weight).toBe(10);
  map.set('c', '1');
  expect(map.has('a')).toBe(false);
});

test('does not keep an entry that is heavier than the limit', () => {
  const map = new LruMap<string, string>(3, (value) => value.length);
  map.set('a', '1234');
  expect(map.size).toBe(0);
  expect(map.weight).toBe(0);
});

test('of many entries one that is used now and then is not forgotten, whatever its place', () => {
  const map = new LruMap<number, number>(100);
  for (let i = 0; i < 100; i += 1) map.set(i, i);
  for (let i = 100; i < 1_000; i += 1) {
    expect([map.get(50), map.get(99)]).toEqual([50, 99]);
    map.set(i, i);
  }
  expect(map.size).toBe(100);
  expect(map.has(899)).toBe(false);
  expect(map.has(915)).toBe(true);
});
