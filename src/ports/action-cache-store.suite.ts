import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../domain/digest.ts';
import type { ActionCacheStore } from './action-cache-store.ts';

/** A store under test, and how to clear it away. */
export interface ActionCacheStoreSubject {
  readonly store: ActionCacheStore;
  dispose(): Promise<void>;
}

const signal = new AbortController().signal;
const text = (value: string) => new TextEncoder().encode(value);

/**
 * What every ActionCacheStore keeps to.
 *
 * @param create makes an empty store with room for at least 1 MiB.
 * @param options `replaces` is false for a store that keeps the first result of each action.
 */
export function describeActionCacheStore(
  name: string,
  create: () => Promise<ActionCacheStoreSubject>,
  options: { readonly replaces?: boolean } = {},
): void {
  const { replaces = true } = options;
  // A test that can't apply is left out, not skipped: a skip is a question to whoever reads the summary.
  const whereReplacing = replaces ? test : () => {};
  describe(`${name} as an action cache store`, () => {
    let subject: ActionCacheStoreSubject;
    let store: ActionCacheStore;
    const action = digestOf(text('action'));

    beforeEach(async () => {
      subject = await create();
      store = subject.store;
    });
    afterEach(() => subject.dispose());

    const get = async (instanceName: string, digest: Digest) => {
      const value = await store.get(instanceName, digest, signal);
      return value === undefined ? undefined : Buffer.from(value).toString();
    };

    test('an unknown action is undefined', async () => {
      expect(await get('', action)).toBeUndefined();
    });

    test('what was put is got', async () => {
      await store.put('main', action, text('result'), signal);
      expect(await get('main', action)).toBe('result');
    });

    test('an empty result is stored like any other', async () => {
      await store.put('main', action, new Uint8Array(0), signal);
      expect(await get('main', action)).toBe('');
    });

    whereReplacing('a later result replaces an earlier one', async () => {
      for (const value of ['first', 'a longer second', 'x']) {
        await store.put('main', action, text(value), signal);
        expect(await get('main', action)).toBe(value);
      }
    });

    whereReplacing('of results put at once the last stands', async () => {
      await Promise.all(Array.from({ length: 20 }, (_, i) => store.put('main', action, text(`result ${i}`), signal)));
      expect(await get('main', action)).toBe('result 19');
    });

    test('what was put first stands, and whoever comes later is given it', async () => {
      const putFirst = async (value: string) => {
        const before = await store.putFirst('main', action, text(value), signal);
        return before === undefined ? undefined : Buffer.from(before).toString();
      };
      const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => putFirst(`result ${i}`)));
      const first = await get('main', action);
      expect(answers.filter((answer) => answer === undefined)).toHaveLength(1);
      expect(answers.filter((answer) => answer === first)).toHaveLength(9);
      expect(answers.findIndex((answer) => answer === undefined)).toBe(Number(first?.slice('result '.length)));
      await store.delete('main', action, signal);
      expect(await putFirst('another')).toBeUndefined();
      expect(await get('main', action)).toBe('another');
    });

    test('instances share nothing', async () => {
      await store.put('a', action, text('of a'), signal);
      await store.put('a/b', action, text('of a/b'), signal);
      expect(await get('a', action)).toBe('of a');
      expect(await get('a/b', action)).toBe('of a/b');
      expect(await get('', action)).toBeUndefined();
      await store.delete('a', action, signal);
      expect(await get('a', action)).toBeUndefined();
      expect(await get('a/b', action)).toBe('of a/b');
    });

    test('actions of one hash and different sizes are different', async () => {
      await store.put('', action, text('result'), signal);
      expect(await get('', { ...action, sizeBytes: action.sizeBytes + 1 })).toBeUndefined();
    });

    test('a deleted entry is gone and can be put again', async () => {
      await store.delete('', action, signal);
      await store.put('', action, text('one'), signal);
      await store.delete('', action, signal);
      expect(await get('', action)).toBeUndefined();
      await store.put('', action, text('two'), signal);
      expect(await get('', action)).toBe('two');
    });

    test('the store keeps nothing that the caller may change', async () => {
      const value = text('result');
      await store.put('', action, value, signal);
      value.fill(0);
      const got = await store.get('', action, signal);
      expect(Buffer.from(got ?? []).toString()).toBe('result');
      got?.fill(0);
      expect(await get('', action)).toBe('result');
    });

    test('many entries of many sizes are kept apart', async () => {
      const entries = Array.from({ length: 200 }, (_, i) => ({
        digest: digestOf(text(`action ${i}`)),
        value: `${i}:`.padEnd(1 + ((i * 131) % 2000), 'x'),
      }));
      await Promise.all(entries.map(({ digest, value }) => store.put('main', digest, text(value), signal)));
      for (const { digest, value } of entries) expect(await get('main', digest)).toBe(value);
    });

    test('a call whose signal is aborted fails with its reason', async () => {
      const aborted = AbortSignal.abort();
      await expect(store.get('', action, aborted)).rejects.toMatchObject({ name: 'AbortError' });
      await expect(store.put('', action, text('x'), aborted)).rejects.toMatchObject({ name: 'AbortError' });
      expect(await get('', action)).toBeUndefined();
    });
  });
}
