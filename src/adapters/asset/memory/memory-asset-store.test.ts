import { expect, test } from 'vitest';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { assetOf, describeAssetStore, keyOf } from '../../../ports/asset-store.suite.ts';
import { MemoryAssetStore } from './memory-asset-store.ts';

describeAssetStore('MemoryAssetStore', async () => {
  const clock = new FakeClock();
  return {
    store: new MemoryAssetStore(4 * 1024 * 1024, clock),
    now: () => clock.now(),
    advance: (milliseconds) => clock.advance(milliseconds),
    dispose: async () => {},
  };
});

test('beyond the limit the least recently used assets are dropped', async () => {
  const signal = new AbortController().signal;
  const store = new MemoryAssetStore(1_500, new FakeClock());
  const keys = ['urn:a', 'urn:b', 'urn:c', 'urn:d'].map(keyOf);
  for (const key of keys) {
    await store.put(key, assetOf('content'), signal);
    await store.get(keyOf('urn:a'), signal);
  }
  const kept = await Promise.all(keys.map((key) => store.get(key, signal)));
  expect(kept.map((value) => value !== undefined)).toEqual([true, false, true, true]);
});
