import { expect, test } from 'vitest';
import { bucketOf, bucketsOf, isBucketTemplate } from './bucket-template.ts';

test('a plain name is the bucket for every hash', () => {
  expect(bucketOf('cache', 'abc')).toBe('cache');
  expect(bucketsOf('cache')).toEqual(['cache']);
});

test('a template takes the first characters of the hash, and knows all its buckets', () => {
  expect(bucketOf('cache-{hash:1}', 'abc')).toBe('cache-a');
  expect(bucketOf('{hash:2}-cache', 'abc')).toBe('ab-cache');
  expect(bucketsOf('cache-{hash:1}')).toHaveLength(16);
  expect(new Set(bucketsOf('cache-{hash:2}')).size).toBe(256);
  expect(bucketsOf('cache-{hash:2}')).toContain('cache-0f');
});

test.each(['Cache', 'a', 'cache-', 'cache_1', 'cache-{hash:3}', 'cache-{hash:1}-{hash:1}', 'x'.repeat(64), ''])(
  '%j makes no bucket',
  (template) => {
    expect(isBucketTemplate(template)).toBe(false);
  },
);
