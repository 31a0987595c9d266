import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../../domain/digest.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { describeActionCacheStore } from '../../../ports/action-cache-store.suite.ts';
import { DiskActionCacheStore } from './disk-action-cache-store.ts';
import { diskActionCacheSchema } from './disk-configuration.ts';

const signal = new AbortController().signal;
const text = (value: string) => new TextEncoder().encode(value);

function open(directory: string): Promise<DiskActionCacheStore> {
  return DiskActionCacheStore.open(
    diskActionCacheSchema.parse({ kind: 'disk', directory }),
    { clock: new FakeClock(), logger: silentLogger, random: Math.random },
    signal,
  );
}

describeActionCacheStore('DiskActionCacheStore', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'warren-actions-'));
  const store = await open(directory);
  return {
    store,
    dispose: async () => {
      await store.close();
      await rm(directory, { recursive: true });
    },
  };
});

test('results, replacements and removals outlast the process', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'warren-actions-'));
  const [kept, replaced, removed] = ['kept', 'replaced', 'removed'].map((name) => digestOf(text(name)));
  if (kept === undefined || replaced === undefined || removed === undefined) throw new Error('unreachable');
  const before = await open(directory);
  await before.put('', kept, text('one'), signal);
  await before.put('', replaced, text('old'), signal);
  await before.put('', removed, text('gone'), signal);
  await before.put('', replaced, text('new'), signal);
  await before.delete('', removed, signal);
  await before.close();
  const after = await open(directory);
  const get = async (digest: typeof kept) => {
    const value = await after.get('', digest, signal);
    return value === undefined ? undefined : Buffer.from(value).toString();
  };
  expect([await get(kept), await get(replaced), await get(removed)]).toEqual(['one', 'new', undefined]);
  await after.close();
  await rm(directory, { recursive: true });
});
