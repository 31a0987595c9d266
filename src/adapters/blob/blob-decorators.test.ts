import { beforeEach, describe, expect, test } from 'vitest';
import { FaultyBlobStore } from '../../../test/support/faulty-blob-store.ts';
import { digestOf } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { describeBlobStore, inChunks, someBytes } from '../../ports/blob-store.suite.ts';
import { describeUploadStore, UPLOAD_SUITE_OPTIONS } from '../../ports/upload-store.suite.ts';
import { ResumableUploads } from '../upload/resumable-uploads.ts';
import { ExistenceCachingBlobStore } from './existence-caching-blob-store.ts';
import { MemoryBlobStore } from './memory/memory-blob-store.ts';
import { type BlobStoreCall, ObservedBlobStore } from './observed-blob-store.ts';
import { PlainBlobBackend } from './plain-blob-backend.ts';
import { ReadOnlyBlobStore } from './read-only-blob-store.ts';
import { VerifyingBlobStore } from './verifying-blob-store.ts';

const signal = new AbortController().signal;
const memory = () => new MemoryBlobStore(64 * 1024 * 1024);
const data = someBytes(2_500_000, 1);
const digest = digestOf(data);
const dispose = async () => {};

async function collect(source: AsyncIterable<Uint8Array>, into: Uint8Array[] = []): Promise<Buffer> {
  for await (const chunk of source) into.push(chunk);
  return Buffer.concat(into);
}

describeBlobStore('VerifyingBlobStore', async () => ({
  store: new VerifyingBlobStore(memory(), silentLogger),
  dispose,
}));
describeBlobStore('ExistenceCachingBlobStore', async () => ({
  store: new ExistenceCachingBlobStore(memory(), new FakeClock(), {
    maximumStalenessMilliseconds: 1000,
    maximumEntries: 100,
  }),
  dispose,
}));
describeBlobStore('ObservedBlobStore', async () => ({
  store: new ObservedBlobStore(memory(), new FakeClock(), () => {}),
  dispose,
}));
describeBlobStore('PlainBlobBackend', async () => ({ store: new PlainBlobBackend(memory()), dispose }));

describeUploadStore('ResumableUploads over PlainBlobBackend', async () => {
  const blobs = new PlainBlobBackend(memory());
  const clock = new FakeClock();
  const uploads = new ResumableUploads(blobs, clock, UPLOAD_SUITE_OPTIONS);
  return { uploads, blobs, clock, dispose: () => uploads.close() };
});

let inner: FaultyBlobStore;
beforeEach(() => {
  inner = new FaultyBlobStore(memory());
});

describe('VerifyingBlobStore', () => {
  test('what a lying store gives is DATA_LOSS before its last byte, and is deleted', async () => {
    const store = new VerifyingBlobStore(inner, silentLogger);
    await store.write(digest, data, signal);
    inner.lies = true;
    const got: Uint8Array[] = [];
    await expect(collect(store.read(digest, { offset: 0 }, signal), got)).rejects.toMatchObject({
      code: StatusCode.DATA_LOSS,
    });
    expect(Buffer.concat(got).byteLength).toBeLessThan(data.byteLength);
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
    await inner.inner.write(digest, data, signal);
    await expect(store.readWhole(digest, signal)).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
  });
});

describe('ExistenceCachingBlobStore', () => {
  const clock = new FakeClock();
  const open = () =>
    new ExistenceCachingBlobStore(inner, clock, { maximumStalenessMilliseconds: 1000, maximumEntries: 100 });

  test('what was there is not asked for again until the bound has passed', async () => {
    const store = open();
    await inner.write(digest, data, signal);
    for (let i = 0; i < 5; i++) expect(await store.findMissing([digest], signal)).toEqual([]);
    expect(inner.findMissingCalls).toBe(1);
    await inner.delete(digest, signal);
    await clock.advance(999);
    expect(await store.findMissing([digest], signal)).toEqual([]);
    await clock.advance(1);
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
  });

  test('what is missing is asked for every time', async () => {
    const store = open();
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
    await inner.write(digest, data, signal);
    expect(await store.findMissing([digest], signal)).toEqual([]);
  });

  test('what turns out to be gone, or is deleted, is not remembered', async () => {
    const store = open();
    await store.write(digest, data, signal);
    await inner.delete(digest, signal);
    await expect(store.readWhole(digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
    await store.write(digest, data, signal);
    await store.delete(digest, signal);
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
  });
});

describe('ReadOnlyBlobStore', () => {
  test('gives what is there and takes nothing new', async () => {
    const store = new ReadOnlyBlobStore(inner);
    const refused = { code: StatusCode.PERMISSION_DENIED };
    await expect(store.write(digest, data, signal)).rejects.toMatchObject(refused);
    await expect(store.openWriter(digest)).rejects.toMatchObject(refused);
    await inner.write(digest, data, signal);
    await store.write(digest, data, signal);
    await expect(store.delete(digest)).rejects.toMatchObject(refused);
    expect((await collect(store.read(digest, { offset: 5 }, signal))).equals(data.subarray(5))).toBe(true);
  });
});

describe('ObservedBlobStore', () => {
  test.each([
    ['committed', someBytes(10, 7), StatusCode.OK, 10],
    ['abandoned', someBytes(5, 7), StatusCode.CANCELLED, 0],
    ['of too many bytes', someBytes(11, 7), StatusCode.INVALID_ARGUMENT, 0],
  ])('tells once of an upload in pieces that is %s', async (what, sent, code, bytes) => {
    const calls: BlobStoreCall[] = [];
    const store = new ObservedBlobStore(inner, new FakeClock(), (call) => calls.push(call));
    const writer = await store.openWriter(digestOf(someBytes(10, 7)), signal);
    await writer.append(sent).catch(() => {});
    if (what === 'committed') await writer.commit();
    await writer.abandon();
    expect(calls).toEqual([{ operation: 'write', code, milliseconds: 0, blobs: 1, bytes }]);
  });

  test('tells of every call how it ended, how long it took and how much went through', async () => {
    const clock = new FakeClock();
    const calls: BlobStoreCall[] = [];
    const store = new ObservedBlobStore(inner, clock, (call) => calls.push(call));
    await store.write(digest, inChunks(data, 100_000), signal);
    await store.findMissing([digest, digest], signal);
    for await (const chunk of store.read(digest, { offset: 0 }, signal)) {
      await clock.advance(7);
      if (chunk.byteLength > 0) break;
    }
    await store.readWhole(digestOf(someBytes(3, 3)), signal).catch(() => {});
    const common = { code: StatusCode.OK, milliseconds: 0 };
    expect(calls).toEqual([
      { ...common, operation: 'write', blobs: 1, bytes: data.byteLength },
      { ...common, operation: 'find-missing', blobs: 2, bytes: 0 },
      { operation: 'read', code: StatusCode.CANCELLED, milliseconds: 7, blobs: 1, bytes: 1024 * 1024 },
      { operation: 'read-whole', code: StatusCode.NOT_FOUND, milliseconds: 0, blobs: 1, bytes: 0 },
    ]);
  });
});
