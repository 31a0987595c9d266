import { describe, expect, test } from 'vitest';
import { digestOf } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { unavailable } from '../../domain/status-error.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { describeActionCacheStore } from '../../ports/action-cache-store.suite.ts';
import type { ActionCacheStore } from '../../ports/action-cache-store.ts';
import { ActionResult } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ExpiringActionCacheStore } from './expiring-action-cache-store.ts';
import { MemoryActionCacheStore } from './memory/memory-action-cache-store.ts';
import { ReadOnlyActionCacheStore } from './read-only-action-cache-store.ts';
import { TieredActionCacheStore } from './tiered-action-cache-store.ts';
import { WriteOnceActionCacheStore } from './write-once-action-cache-store.ts';

const signal = new AbortController().signal;
const action = digestOf(Buffer.from('action'));
const one = Buffer.from('one');
const two = Buffer.from('two');
const memory = () => new MemoryActionCacheStore(4 * 1024 * 1024);
const dispose = async () => {};

/** A store that is away. */
const broken: ActionCacheStore = {
  get: () => Promise.reject(unavailable('away', 0)),
  put: () => Promise.reject(unavailable('away', 0)),
  putFirst: () => Promise.reject(unavailable('away', 0)),
  delete: () => Promise.reject(unavailable('away', 0)),
};

async function get(store: ActionCacheStore): Promise<string | undefined> {
  const found = await store.get('', action, signal);
  return found === undefined ? undefined : Buffer.from(found).toString();
}

describeActionCacheStore('TieredActionCacheStore', async () => ({
  store: new TieredActionCacheStore(memory(), memory(), silentLogger),
  dispose,
}));
describeActionCacheStore(
  'WriteOnceActionCacheStore',
  async () => ({ store: new WriteOnceActionCacheStore(memory()), dispose }),
  { replaces: false },
);
describeActionCacheStore('ExpiringActionCacheStore', async () => ({
  store: new ExpiringActionCacheStore(memory(), new FakeClock(), 1_000),
  dispose,
}));

describe('TieredActionCacheStore', () => {
  test('what the slow one has is found, and stays in the fast one', async () => {
    const [fast, slow] = [memory(), memory()];
    await slow.put('', action, one, signal);
    expect(await get(new TieredActionCacheStore(fast, slow, silentLogger))).toBe('one');
    expect(await get(fast)).toBe('one');
  });

  test('goes on without the fast one', async () => {
    const slow = memory();
    const store = new TieredActionCacheStore(broken, slow, silentLogger);
    await store.put('', action, one, signal);
    expect(await get(slow)).toBe('one');
    expect(await get(store)).toBe('one');
  });

  test('a result that the slow one did not take is in neither', async () => {
    const fast = memory();
    const store = new TieredActionCacheStore(fast, broken, silentLogger);
    await expect(store.put('', action, one, signal)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    expect(await get(fast)).toBeUndefined();
  });
});

describe('ReadOnlyActionCacheStore', () => {
  test('serves what is there and refuses every change', async () => {
    const inner = memory();
    await inner.put('', action, one, signal);
    const store: ActionCacheStore = new ReadOnlyActionCacheStore(inner);
    const refused = { code: StatusCode.PERMISSION_DENIED };
    await expect(store.put('', action, two, signal)).rejects.toMatchObject(refused);
    await expect(store.putFirst('', action, two, signal)).rejects.toMatchObject(refused);
    await expect(store.delete('', action, signal)).rejects.toMatchObject(refused);
    expect(await get(store)).toBe('one');
  });
});

describe('WriteOnceActionCacheStore', () => {
  test('the first result stands, and may be put again', async () => {
    const store = new WriteOnceActionCacheStore(memory());
    await store.put('', action, one, signal);
    await store.put('', action, one, signal);
    await expect(store.put('', action, two, signal)).rejects.toMatchObject({ code: StatusCode.ALREADY_EXISTS });
    expect(await get(store)).toBe('one');
  });

  test('holds across replicas that share a store', async () => {
    const shared = memory();
    const replicas = Array.from({ length: 4 }, () => new WriteOnceActionCacheStore(shared));
    const puts = replicas.map((store, i) => store.put('', action, Buffer.from(`result ${i}`), signal));
    const outcomes = await Promise.allSettled(puts);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('of results put at once exactly one stands', async () => {
    const store = new WriteOnceActionCacheStore(memory());
    const puts = Array.from({ length: 10 }, (_, i) => store.put('', action, Buffer.from(`result ${i}`), signal));
    const outcomes = await Promise.allSettled(puts);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await get(store)).toBe('result 0');
  });
});

describe('ExpiringActionCacheStore', () => {
  test('a result is missing once it is old, however often it was used', async () => {
    const clock = new FakeClock();
    const store = new ExpiringActionCacheStore(memory(), clock, 1_000);
    await store.put('', action, one, signal);
    await clock.advance(999);
    expect(await get(store)).toBe('one');
    await clock.advance(1);
    expect(await get(store)).toBeUndefined();
    await store.put('', action, two, signal);
    expect(await get(store)).toBe('two');
  });

  test('an old result makes way for the next first one', async () => {
    const clock = new FakeClock();
    const store = new ExpiringActionCacheStore(memory(), clock, 1_000);
    expect(await store.putFirst('', action, one, signal)).toBeUndefined();
    expect(Buffer.from((await store.putFirst('', action, two, signal)) ?? []).toString()).toBe('one');
    await clock.advance(1_000);
    expect(await store.putFirst('', action, two, signal)).toBeUndefined();
    expect(await get(store)).toBe('two');
  });

  test('a result without an age counts as old', async () => {
    const inner = memory();
    await inner.put('', action, one, signal);
    expect(await get(new ExpiringActionCacheStore(inner, new FakeClock(), 1_000))).toBeUndefined();
  });

  test('what the store behind has is still an ActionResult', async () => {
    const inner = memory();
    const result = ActionResult.create({ exitCode: 3, stdoutRaw: Buffer.from('out') });
    const store = new ExpiringActionCacheStore(inner, new FakeClock(), 1_000);
    await store.put('', action, ActionResult.encode(result).finish(), signal);
    const stored = ActionResult.decode((await inner.get('', action, signal)) ?? Buffer.alloc(0));
    expect(stored).toMatchObject({ exitCode: 3, stdoutRaw: Buffer.from('out') });
  });
});
