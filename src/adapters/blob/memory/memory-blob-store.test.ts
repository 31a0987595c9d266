import { expect, test } from 'vitest';
import { digestOf } from '../../../domain/digest.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { describeBlobStore, inChunks, someBytes } from '../../../ports/blob-store.suite.ts';
import { MemoryBlobStore } from './memory-blob-store.ts';

const signal = new AbortController().signal;

describeBlobStore('MemoryBlobStore', async () => ({
  store: new MemoryBlobStore(32 * 1024 * 1024),
  dispose: async () => {},
}));

const blob = (seed: number) => {
  const data = someBytes(1000, seed);
  return { data, digest: digestOf(data) };
};

test('beyond the limit the least recently used blobs are dropped', async () => {
  const store = new MemoryBlobStore(3000);
  const [a, b, c, d] = [blob(1), blob(2), blob(3), blob(4)];
  for (const { digest, data } of [a, b, c]) await store.write(digest, data, signal);
  await store.findMissing([a.digest], signal);
  await store.write(d.digest, d.data, signal);
  expect(await store.findMissing([a.digest, b.digest, c.digest, d.digest], signal)).toEqual([b.digest]);
  expect(store.storedBytes).toBe(3000);
});

test('a blob larger than the limit is refused and drops nothing', async () => {
  const store = new MemoryBlobStore(2500);
  const { digest, data } = blob(1);
  await store.write(digest, data, signal);
  const large = someBytes(2501);
  for (const source of [large, inChunks(large, 500)]) {
    await expect(store.write(digestOf(large), source, signal)).rejects.toMatchObject({
      code: StatusCode.RESOURCE_EXHAUSTED,
    });
  }
  expect(await store.findMissing([digest], signal)).toEqual([]);
});

test('a pinned blob is not dropped until its owner lets go', async () => {
  const store = new MemoryBlobStore(2000);
  const [a, b, c] = [blob(1), blob(2), blob(3)];
  await store.write(a.digest, a.data, signal);
  await store.write(b.digest, b.data, signal);
  store.pin('job', [a.digest, b.digest]);
  await expect(store.write(c.digest, c.data, signal)).rejects.toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED });
  store.unpin('job');
  await store.write(c.digest, c.data, signal);
  expect(await store.findMissing([a.digest, b.digest, c.digest], signal)).toEqual([a.digest]);
});
