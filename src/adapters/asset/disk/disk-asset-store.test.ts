import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { assetOf, describeAssetStore, keyOf } from '../../../ports/asset-store.suite.ts';
import { DiskAssetStore } from './disk-asset-store.ts';
import { diskAssetsSchema } from './disk-configuration.ts';

const signal = new AbortController().signal;

function open(directory: string, clock = new FakeClock()): Promise<DiskAssetStore> {
  return DiskAssetStore.open(
    diskAssetsSchema.parse({ kind: 'disk', directory }),
    { clock, logger: silentLogger, random: Math.random },
    signal,
  );
}

describeAssetStore('DiskAssetStore', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'warren-assets-'));
  const clock = new FakeClock();
  const store = await open(directory, clock);
  return {
    store,
    now: () => clock.now(),
    advance: (milliseconds) => clock.advance(milliseconds),
    dispose: async () => {
      await store.close();
      await rm(directory, { recursive: true });
    },
  };
});

test('assets, replacements and removals outlast the process', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'warren-assets-'));
  const keys = ['urn:kept', 'urn:replaced', 'urn:removed'].map(keyOf);
  const [kept = '', replaced = '', removed = ''] = keys;
  const before = await open(directory);
  await before.put(kept, assetOf('one'), signal);
  await before.put(replaced, assetOf('old'), signal);
  await before.put(removed, assetOf('gone'), signal);
  await before.put(replaced, assetOf('new'), signal);
  await before.delete(removed, signal);
  await before.close();
  const after = await open(directory);
  const found = await Promise.all(keys.map((key) => after.get(key, signal)));
  expect(found).toEqual([assetOf('one'), assetOf('new'), undefined]);
  await after.close();
  await rm(directory, { recursive: true });
});
