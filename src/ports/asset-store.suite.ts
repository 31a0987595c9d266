import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Asset, type AssetKey, assetKey } from '../domain/asset.ts';
import { digestOf } from '../domain/digest.ts';
import { DIGEST_FUNCTIONS, SHA256 } from '../domain/digest-function.ts';
import type { AssetStore } from './asset-store.ts';

/** A store under test on a clock of the test's own, and how to clear it away. */
export interface AssetStoreSubject {
  readonly store: AssetStore;
  /** Milliseconds since the epoch, as the store sees it. */
  now(): number;
  advance(milliseconds: number): Promise<void>;
  dispose(): Promise<void>;
}

const signal = new AbortController().signal;

/** What every AssetStore keeps to. @param create makes an empty store with room for at least 1 MiB. */
export function describeAssetStore(name: string, create: () => Promise<AssetStoreSubject>): void {
  describe(`${name} as an asset store`, () => {
    let subject: AssetStoreSubject;
    let store: AssetStore;

    beforeEach(async () => {
      subject = await create();
      store = subject.store;
    });
    afterEach(() => subject.dispose());

    test('an unknown asset is undefined', async () => {
      expect(await store.get(keyOf('urn:a'), signal)).toBeUndefined();
    });

    test.each(DIGEST_FUNCTIONS.map((each) => [each.name, each] as const))(
      'what was put is got, whole: %s',
      async (_, digestFunction) => {
        const digest = digestOf(Buffer.from('content'), digestFunction);
        const asset = assetOf('content', {
          digest,
          qualifiers: [
            { name: 'vcs.commit', value: 'b5123b1b' },
            { name: 'é', value: '"\u0000\n' },
          ],
          storedAt: subject.now() - 0.25,
          expiresAt: subject.now() + 60_000,
          blobs: [digestOf(Buffer.from('blob'), digestFunction)],
          directories: [digestOf(Buffer.from('directory'), digestFunction), digest],
        });
        await store.put(keyOf('urn:a'), asset, signal);
        expect(await store.get(keyOf('urn:a'), signal)).toEqual(asset);
      },
    );

    test('a later asset replaces an earlier one', async () => {
      await store.put(keyOf('urn:a'), assetOf('first', { expiresAt: subject.now() + 5 }), signal);
      await store.put(keyOf('urn:a'), assetOf('second'), signal);
      await subject.advance(10);
      expect(await store.get(keyOf('urn:a'), signal)).toEqual(assetOf('second'));
    });

    test('assets share nothing', async () => {
      const keys = Array.from({ length: 40 }, (_, i) => keyOf(`urn:${i}`));
      await Promise.all(keys.map((key, i) => store.put(key, assetOf(`content ${i}`), signal)));
      await store.delete(keys[0] as AssetKey, signal);
      const got = await Promise.all(keys.map((key) => store.get(key, signal)));
      expect(got).toEqual([undefined, ...keys.slice(1).map((_, i) => assetOf(`content ${i + 1}`))]);
    });

    test('a deleted asset is gone, and can be put again', async () => {
      await store.delete(keyOf('urn:a'), signal);
      await store.put(keyOf('urn:a'), assetOf('one'), signal);
      await store.delete(keyOf('urn:a'), signal);
      expect(await store.get(keyOf('urn:a'), signal)).toBeUndefined();
      await store.put(keyOf('urn:a'), assetOf('two'), signal);
      expect(await store.get(keyOf('urn:a'), signal)).toEqual(assetOf('two'));
    });

    test('an asset is given until its time has passed', async () => {
      await store.put(keyOf('urn:a'), assetOf('content', { expiresAt: subject.now() + 1_000 }), signal);
      await subject.advance(999);
      expect(await store.get(keyOf('urn:a'), signal)).toBeDefined();
      await subject.advance(1);
      expect(await store.get(keyOf('urn:a'), signal)).toBeUndefined();
    });

    test('an asset with thousands of references is kept whole', async () => {
      const blobs = Array.from({ length: 5_000 }, (_, i) => digestOf(Buffer.from(`blob ${i}`)));
      await store.put(keyOf('urn:a'), assetOf('content', { blobs }), signal);
      expect((await store.get(keyOf('urn:a'), signal))?.blobs).toEqual(blobs);
    });

    test('a call whose signal is aborted fails with its reason', async () => {
      const aborted = AbortSignal.abort();
      const key = keyOf('urn:a');
      await expect(store.get(key, aborted)).rejects.toMatchObject({ name: 'AbortError' });
      await expect(store.put(key, assetOf('x'), aborted)).rejects.toMatchObject({ name: 'AbortError' });
      await expect(store.delete(key, aborted)).rejects.toMatchObject({ name: 'AbortError' });
      expect(await store.get(key, signal)).toBeUndefined();
    });
  });
}

/** The key of a blob with this URI and no qualifiers. */
export function keyOf(uri: string): AssetKey {
  return assetKey({ instanceName: '', kind: 'blob', digestFunction: SHA256, uri, qualifiers: [] });
}

/** An asset of this content. */
export function assetOf(content: string, parts: Partial<Asset> = {}): Asset {
  return {
    digest: digestOf(Buffer.from(content)),
    qualifiers: [],
    storedAt: 0,
    expiresAt: undefined,
    blobs: [],
    directories: [],
    ...parts,
  };
}
