import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestOf, emptyDigest } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { BlobStore } from './blob-store.ts';

/** A store under test, and how to clear it away. */
export interface BlobStoreSubject {
  readonly store: BlobStore;
  dispose(): Promise<void>;
}

const signal = new AbortController().signal;

/** Deterministic bytes that no compression or chance makes equal to others. */
export function someBytes(size: number, seed = 1): Uint8Array {
  const data = new Uint8Array(size);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = state >>> 24;
  }
  return data;
}

/** The bytes in pieces, as a client would send them. */
export async function* inChunks(data: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < data.byteLength; offset += chunkBytes) yield data.slice(offset, offset + chunkBytes);
}

async function* failing(data: Uint8Array, error: Error): AsyncGenerator<Uint8Array> {
  yield* inChunks(data, 1000);
  throw error;
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) {
    expect(chunk.byteLength).toBeLessThanOrEqual(1024 * 1024);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * What every BlobStore keeps to.
 *
 * @param create makes an empty store with room for at least 16 MiB, blobs of 5 MiB included.
 * @param options `deletes` is false for a store of another server, whose protocol has no call for it.
 */
export function describeBlobStore(
  name: string,
  create: () => Promise<BlobStoreSubject>,
  options: { readonly deletes?: boolean } = {},
): void {
  const { deletes = true } = options;
  // A test that can't apply is left out, not skipped: a skip is a question to whoever reads the summary.
  const whereDeleting = deletes ? test : () => {};
  describe(`${name} as a blob store`, () => {
    let subject: BlobStoreSubject;
    let store: BlobStore;

    beforeEach(async () => {
      subject = await create();
      store = subject.store;
    });
    afterEach(() => subject.dispose());

    const isStored = async (digest: Digest) => (await store.findMissing([digest], signal)).length === 0;
    const sizes = [
      ['of one byte', 1],
      ['of 1 KiB', 1024],
      ['of 100 000 bytes', 100_000],
      ['of 128 KiB', 128 * 1024],
      ['of 128 KiB and a byte', 128 * 1024 + 1],
      ['of 5 MiB and three bytes', 5 * 1024 * 1024 + 3],
    ] as const;

    test.each(sizes)('a blob %s that was written whole is read back', async (_, size) => {
      const data = someBytes(size);
      const digest = digestOf(data);
      await store.write(digest, data, signal);
      expect(await isStored(digest)).toBe(true);
      expect(Buffer.from(await store.readWhole(digest, signal)).equals(data)).toBe(true);
      expect((await collect(store.read(digest, { offset: 0 }, signal))).equals(data)).toBe(true);
    });

    test.each(sizes)('a blob %s that was written as a stream is read back', async (_, size) => {
      const data = someBytes(size, 2);
      const digest = digestOf(data);
      await store.write(digest, inChunks(data, 60_000), signal);
      expect((await collect(store.read(digest, { offset: 0 }, signal))).equals(data)).toBe(true);
    });

    test.each(sizes)('any range of a blob %s is read', async (_, size) => {
      const data = someBytes(size, 3);
      const digest = digestOf(data);
      await store.write(digest, data, signal);
      const offsets = [0, 1, size >> 1, size - 1, size].filter((each) => each <= size);
      for (const offset of offsets) {
        for (const length of [undefined, 0, 1, 70_000, size, size * 2]) {
          const expected = data.subarray(offset, length === undefined ? undefined : offset + length);
          const read = await collect(store.read(digest, { offset, length }, signal));
          expect(read.equals(expected), `offset ${offset}, length ${length}`).toBe(true);
        }
      }
    });

    test('an offset behind the end is OUT_OF_RANGE', async () => {
      const data = someBytes(10);
      const digest = digestOf(data);
      await store.write(digest, data, signal);
      await expect(collect(store.read(digest, { offset: 11 }, signal))).rejects.toMatchObject({
        code: StatusCode.OUT_OF_RANGE,
      });
    });

    test('what is not stored is NOT_FOUND', async () => {
      for (const size of [100, 3_000_000]) {
        const digest = digestOf(someBytes(size, 4));
        await expect(collect(store.read(digest, { offset: 0 }, signal))).rejects.toMatchObject({
          code: StatusCode.NOT_FOUND,
        });
        await expect(store.readWhole(digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
      }
    });

    test('the empty blob is always there', async () => {
      const digest = emptyDigest();
      expect(await isStored(digest)).toBe(true);
      expect(await store.readWhole(digest, signal)).toHaveLength(0);
      expect(await collect(store.read(digest, { offset: 0 }, signal))).toHaveLength(0);
      await store.write(digest, new Uint8Array(0), signal);
      await store.write(digest, inChunks(new Uint8Array(0), 1), signal);
      await store.delete(digest, signal);
      expect(await isStored(digest)).toBe(true);
    });

    test('findMissing names each missing digest once, in the order given', async () => {
      const stored = someBytes(10, 5);
      await store.write(digestOf(stored), stored, signal);
      const a = digestOf(someBytes(11, 6));
      const b = digestOf(someBytes(300_000, 7));
      expect(await store.findMissing([b, digestOf(stored), a, b, emptyDigest(), a], signal)).toEqual([b, a]);
      expect(await store.findMissing([], signal)).toEqual([]);
    });

    test('a blob of the same hash and another size is another blob', async () => {
      const data = someBytes(10, 8);
      const digest = digestOf(data);
      await store.write(digest, data, signal);
      const other = { ...digest, sizeBytes: 11 };
      expect(await store.findMissing([other], signal)).toEqual([other]);
      await expect(store.readWhole(other, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
    });

    const wrong: ReadonlyArray<readonly [string, (data: Uint8Array) => Uint8Array]> = [
      ['with a flipped bit', (data) => data.map((byte, i) => (i === data.length >> 1 ? byte ^ 1 : byte))],
      ['a byte too short', (data) => data.subarray(1)],
      ['a byte too long', (data) => Buffer.concat([data, Uint8Array.of(0)])],
      ['empty', () => new Uint8Array(0)],
    ];
    for (const size of [500, 1_000_000]) {
      test.each(wrong)(`a write %s is INVALID_ARGUMENT and leaves nothing (${size} bytes)`, async (_, spoil) => {
        const data = someBytes(size, 9);
        const digest = digestOf(data);
        const bad = spoil(data);
        await expect(store.write(digest, bad, signal)).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
        await expect(store.write(digest, inChunks(bad, 70_000), signal)).rejects.toMatchObject({
          code: StatusCode.INVALID_ARGUMENT,
        });
        expect(await isStored(digest)).toBe(false);
        await store.write(digest, data, signal);
        expect(await isStored(digest)).toBe(true);
      });

      test(`a source that fails is passed on unchanged and leaves nothing (${size} bytes)`, async () => {
        const data = someBytes(size, 10);
        const digest = digestOf(data);
        const failure = new Error('the client went away');
        await expect(store.write(digest, failing(data.subarray(1), failure), signal)).rejects.toBe(failure);
        expect(await isStored(digest)).toBe(false);
      });

      test(`an aborted write leaves nothing (${size} bytes)`, async () => {
        const data = someBytes(size, 11);
        const digest = digestOf(data);
        const controller = new AbortController();
        async function* source() {
          yield data.slice(0, 100);
          controller.abort();
          yield data.slice(100);
        }
        await expect(store.write(digest, source(), controller.signal)).rejects.toMatchObject({ name: 'AbortError' });
        expect(await isStored(digest)).toBe(false);
      });

      test(`many writers of one blob all succeed (${size} bytes)`, async () => {
        const data = someBytes(size, 12);
        const digest = digestOf(data);
        const writes = Array.from({ length: 8 }, (_, i) =>
          store.write(digest, i % 2 === 0 ? data : inChunks(data, 50_000), signal),
        );
        await Promise.all(writes);
        expect(Buffer.from(await store.readWhole(digest, signal)).equals(data)).toBe(true);
      });

      whereDeleting(`a deleted blob is missing and can be written again (${size} bytes)`, async () => {
        const data = someBytes(size, 13);
        const digest = digestOf(data);
        await store.write(digest, data, signal);
        await store.delete(digest, signal);
        expect(await isStored(digest)).toBe(false);
        await expect(store.readWhole(digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
        await store.delete(digest, signal);
        await store.write(digest, data, signal);
        expect(Buffer.from(await store.readWhole(digest, signal)).equals(data)).toBe(true);
      });

      test(`the store keeps nothing that the caller may change (${size} bytes)`, async () => {
        const data = someBytes(size, 14);
        const digest = digestOf(data);
        const own = data.slice();
        await store.write(digest, own, signal);
        own.fill(0);
        const read = await store.readWhole(digest, signal);
        expect(Buffer.from(read).equals(data)).toBe(true);
        read.fill(0);
        expect(Buffer.from(await store.readWhole(digest, signal)).equals(data)).toBe(true);
      });
    }

    test('writing again what is stored succeeds', async () => {
      const data = someBytes(1000, 15);
      const digest = digestOf(data);
      for (let i = 0; i < 3; i++) await store.write(digest, data, signal);
      await store.write(digest, inChunks(data, 100), signal);
      expect(await isStored(digest)).toBe(true);
    });

    test('a batch of many small blobs goes in and out', async () => {
      const blobs = Array.from({ length: 500 }, (_, i) => someBytes(1 + ((i * 37) % 3000), 100 + i));
      const digests = blobs.map((data) => digestOf(data));
      await Promise.all(blobs.map((data, i) => store.write(digests[i] as Digest, data, signal)));
      expect(await store.findMissing(digests, signal)).toEqual([]);
      const read = await Promise.all(digests.map((digest) => store.readWhole(digest, signal)));
      expect(read.every((data, i) => Buffer.from(data).equals(blobs[i] as Uint8Array))).toBe(true);
    });

    test('a reader that stops early harms nobody', async () => {
      const data = someBytes(3_000_000, 16);
      const digest = digestOf(data);
      await store.write(digest, data, signal);
      for await (const chunk of store.read(digest, { offset: 0 }, signal)) {
        expect(chunk.byteLength).toBeGreaterThan(0);
        break;
      }
      expect((await collect(store.read(digest, { offset: 0 }, signal))).equals(data)).toBe(true);
    });

    test('a call whose signal is aborted fails with its reason', async () => {
      const digest = digestOf(someBytes(10, 17));
      const aborted = AbortSignal.abort();
      await expect(store.findMissing([digest], aborted)).rejects.toMatchObject({ name: 'AbortError' });
      await expect(store.write(digest, someBytes(10, 17), aborted)).rejects.toMatchObject({ name: 'AbortError' });
      expect(await isStored(digest)).toBe(false);
    });
  });
}
