import { expect, test } from 'vitest';
import { digestOf } from '../../../domain/digest.ts';
import { describeActionCacheStore } from '../../../ports/action-cache-store.suite.ts';
import { MemoryActionCacheStore } from './memory-action-cache-store.ts';

describeActionCacheStore('MemoryActionCacheStore', async () => ({
  store: new MemoryActionCacheStore(4 * 1024 * 1024),
  dispose: async () => {},
}));

test('beyond the limit the least recently used entries are dropped', async () => {
  const signal = new AbortController().signal;
  const store = new MemoryActionCacheStore(10_000);
  const digests = ['a', 'b', 'c'].map((text) => digestOf(new TextEncoder().encode(text)));
  for (const digest of digests) {
    await store.put('', digest, new Uint8Array(4000), signal);
    const [first] = digests;
    if (first !== undefined) await store.get('', first, signal);
  }
  const kept = await Promise.all(digests.map((digest) => store.get('', digest, signal)));
  expect(kept.map((value) => value !== undefined)).toEqual([true, false, true]);
});
