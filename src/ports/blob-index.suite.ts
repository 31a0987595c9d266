import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestKey, digestOf } from '../domain/digest.ts';
import { DIGEST_FUNCTIONS } from '../domain/digest-function.ts';
import type { BlobIndex, IndexedBlob } from './blob-index.ts';

/** An index under test: empty, with a lease of 60 s and a resolution of 10 s. */
export interface BlobIndexFixture extends AsyncDisposable {
  readonly index: BlobIndex;
  /** Moves the index' clock. */
  advance(milliseconds: number): Promise<void>;
}

const signal = new AbortController().signal;
const MINUTE = 60_000;

function someDigests(count: number, tag = 'blob'): Digest[] {
  return Array.from({ length: count }, (_, i) => digestOf(Buffer.from(`${tag} ${i}`)));
}

async function collect(source: AsyncIterable<IndexedBlob>): Promise<IndexedBlob[]> {
  const blobs: IndexedBlob[] = [];
  for await (const blob of source) blobs.push(blob);
  return blobs;
}

const keys = (digests: readonly Digest[]) => digests.map(digestKey).sort();

/** What every BlobIndex keeps to. */
export function describeBlobIndex(name: string, create: () => Promise<BlobIndexFixture>): void {
  describe(`${name} as a blob index`, () => {
    let fixture: BlobIndexFixture;
    let index: BlobIndex;

    beforeEach(async () => {
      fixture = await create();
      index = fixture.index;
    });
    afterEach(() => fixture[Symbol.asyncDispose]());

    const store = async (digests: readonly Digest[], unusedFor = 0) => {
      for (const digest of digests) {
        expect(await index.reserve(digest, signal)).toBe('reserved');
        expect(await index.commit(digest, unusedFor, signal)).toBe(true);
      }
    };
    const oldest = async (unusedFor = 0) =>
      (await collect(index.oldest(unusedFor, signal))).map(({ digest }) => digest);

    test('what is committed is stored, and the rest is missing, each once, in the order given', async () => {
      const [a, b, c] = someDigests(3) as [Digest, Digest, Digest];
      await store([b]);
      expect(await index.touch([c, b, a, c], signal)).toEqual([c, a]);
      expect(await index.touch([], signal)).toEqual([]);
    });

    test('digests of every function come out as they went in, and equal hashes of other sizes are others', async () => {
      const digests = DIGEST_FUNCTIONS.map((each) => digestOf(Buffer.from('x'.repeat(300)), each));
      const large = { ...(digests[0] as Digest), sizeBytes: 2 ** 40 + 12_345 };
      await store([...digests, large]);
      expect(keys((await collect(index.scan(signal))).map(({ digest }) => digest))).toEqual(keys([...digests, large]));
      expect(await index.touch([{ ...large, sizeBytes: 7 }], signal)).toHaveLength(1);
    });

    test('what is reserved counts, and is missing until it is committed', async () => {
      const [digest] = someDigests(1) as [Digest];
      expect(await index.reserve(digest, signal)).toBe('reserved');
      expect(await index.touch([digest], signal)).toEqual([digest]);
      expect(await index.totals(signal)).toMatchObject({ blobs: 1, bytes: digest.sizeBytes });
      expect(index.knownTotals).toMatchObject({ blobs: 1, bytes: digest.sizeBytes });
      await index.commit(digest, 0, signal);
      expect(await index.totals(signal)).toMatchObject({ blobs: 1, bytes: digest.sizeBytes });
      expect(await index.reserve(digest, signal)).toBe('stored');
    });

    test('a reservation that is given up leaves nothing behind', async () => {
      const [digest] = someDigests(1) as [Digest];
      await index.reserve(digest, signal);
      await index.release([digest], signal);
      await index.release([digest], signal);
      expect(await index.totals(signal)).toMatchObject({ blobs: 0, bytes: 0 });
      expect(await index.commit(digest, 0, signal)).toBe(false);
    });

    test('of two writers of one blob both succeed, and it counts once', async () => {
      const [digest] = someDigests(1) as [Digest];
      expect(await Promise.all([index.reserve(digest, signal), index.reserve(digest, signal)])).toEqual([
        'reserved',
        'reserved',
      ]);
      expect(await index.commit(digest, 0, signal)).toBe(true);
      expect(await index.commit(digest, 0, signal)).toBe(true);
      expect(await index.totals(signal)).toMatchObject({ blobs: 1, bytes: digest.sizeBytes });
    });

    test('giving up a reservation does not touch what is stored', async () => {
      const digests = someDigests(1);
      await store(digests);
      await index.release(digests, signal);
      expect(await index.touch(digests, signal)).toEqual([]);
    });

    test('what is forgotten is missing and does not count; what is reserved is not forgotten', async () => {
      const [stored, reserved] = someDigests(2) as [Digest, Digest];
      await store([stored]);
      await index.reserve(reserved, signal);
      await index.forget([stored, reserved, stored], signal);
      expect(await index.touch([stored], signal)).toEqual([stored]);
      expect(await index.totals(signal)).toMatchObject({ blobs: 1, bytes: reserved.sizeBytes });
      expect(await index.commit(reserved, 0, signal)).toBe(true);
    });

    test('the oldest come first, and only those that were not used for so long', async () => {
      const digests = someDigests(40);
      for (const digest of digests) {
        await store([digest]);
        await fixture.advance(20_000);
      }
      await index.touch(digests.slice(0, 3), signal);
      expect(await oldest()).toEqual([...digests.slice(3), ...(await oldest()).slice(-3)]);
      expect(keys((await oldest()).slice(-3))).toEqual(keys(digests.slice(0, 3)));
      expect(await oldest(15 * 20_000)).toEqual(digests.slice(3, 26));
    });

    test('a use within the resolution of the last is not noted anew', async () => {
      const [digest] = someDigests(1) as [Digest];
      await store([digest]);
      const at = async () => (await collect(index.scan(signal))).map(({ lastUsedAt }) => lastUsedAt);
      const before = await at();
      await fixture.advance(5_000);
      await index.touch([digest], signal);
      expect(await at()).toEqual(before);
      await fixture.advance(6_000);
      await index.touch([digest], signal);
      expect(await at()).not.toEqual(before);
    });

    test('to ask what is missing is no use', async () => {
      const digests = someDigests(3);
      await store(digests.slice(0, 2));
      await fixture.advance(5 * MINUTE);
      expect(await index.findMissing([...digests, ...digests], signal)).toEqual(digests.slice(2));
      expect(keys(await oldest(4 * MINUTE))).toEqual(keys(digests.slice(0, 2)));
    });

    test('what was committed as long unused is the oldest', async () => {
      const [young, old] = someDigests(2) as [Digest, Digest];
      await store([young]);
      await store([old], 10 * MINUTE);
      expect(await oldest()).toEqual([old, young]);
      expect(await oldest(5 * MINUTE)).toEqual([old]);
    });

    test('what is kept is not among the oldest and cannot be claimed, until the time is over', async () => {
      const [kept, other] = someDigests(2) as [Digest, Digest];
      await store([kept, other]);
      await index.keep([kept, ...someDigests(1, 'unknown')], 5 * MINUTE, signal);
      await fixture.advance(2 * MINUTE);
      await index.touch([kept, other], signal);
      await fixture.advance(2 * MINUTE);
      expect(await oldest(MINUTE)).toEqual([other]);
      expect(await index.claim([kept, other], MINUTE, signal)).toEqual([other]);
      await fixture.advance(6 * MINUTE);
      expect(await oldest(MINUTE)).toEqual([kept]);
      expect(await index.claim([kept], MINUTE, signal)).toEqual([kept]);
    });

    test('of many callers one gets a claim', async () => {
      const digests = someDigests(50);
      await store(digests);
      await fixture.advance(MINUTE);
      const claims = await Promise.all(Array.from({ length: 4 }, () => index.claim(digests, 0, signal)));
      expect(keys(claims.flat())).toEqual(keys(digests));
    });

    test('what was used since is not claimed', async () => {
      const digests = someDigests(2);
      await store(digests);
      await fixture.advance(2 * MINUTE);
      await index.touch(digests.slice(0, 1), signal);
      expect(await index.claim(digests, MINUTE, signal)).toEqual(digests.slice(1));
    });

    test('what is being evicted is missing, counts, and cannot be written until it is settled', async () => {
      const [digest] = someDigests(1) as [Digest];
      await store([digest]);
      await fixture.advance(MINUTE);
      await index.claim([digest], 0, signal);
      expect(await index.touch([digest], signal)).toEqual([digest]);
      expect(await index.reserve(digest, signal)).toBe('evicting');
      expect(await index.totals(signal)).toEqual({
        blobs: 1,
        bytes: digest.sizeBytes,
        evictingBlobs: 1,
        evictingBytes: digest.sizeBytes,
      });
      await index.settle([digest], [], signal);
      expect(await index.totals(signal)).toEqual({ blobs: 0, bytes: 0, evictingBlobs: 0, evictingBytes: 0 });
      expect(await index.reserve(digest, signal)).toBe('reserved');
    });

    test('what could not be removed is put back with its time', async () => {
      const [first, second] = someDigests(2) as [Digest, Digest];
      await store([first]);
      await fixture.advance(MINUTE);
      await store([second]);
      await fixture.advance(MINUTE);
      const [blob] = await collect(index.oldest(0, signal));
      await index.claim([first], 0, signal);
      await index.settle([], [blob as IndexedBlob], signal);
      expect(await oldest()).toEqual([first, second]);
      expect(await index.totals(signal)).toMatchObject({ blobs: 2, evictingBlobs: 0, evictingBytes: 0 });
    });

    test('a claim without condition takes what is reserved, used or kept', async () => {
      const [stored, reserved, unknown] = someDigests(3) as [Digest, Digest, Digest];
      await store([stored]);
      await index.keep([stored], MINUTE, signal);
      await index.reserve(reserved, signal);
      expect(await index.claim([stored, reserved, unknown], undefined, signal)).toEqual([stored, reserved]);
      expect(await index.commit(reserved, 0, signal)).toBe(false);
    });

    test('what was left until its lease was over is taken over by one caller', async () => {
      const [reserved, claimed, renewed] = someDigests(3) as [Digest, Digest, Digest];
      await store([claimed]);
      await fixture.advance(20_000);
      await index.claim([claimed], 0, signal);
      await index.reserve(reserved, signal);
      await index.reserve(renewed, signal);
      await fixture.advance(59_000);
      expect(await index.reclaim(10, signal)).toEqual([]);
      await index.reserve(renewed, signal);
      await fixture.advance(2_000);
      const taken = await Promise.all([index.reclaim(10, signal), index.reclaim(10, signal)]);
      expect(keys(taken.flat())).toEqual(keys([reserved, claimed]));
      expect(await index.commit(reserved, 0, signal)).toBe(false);
      expect(await index.commit(renewed, 0, signal)).toBe(true);
      await index.settle([reserved, claimed], [], signal);
      expect(await index.totals(signal)).toEqual({
        blobs: 1,
        bytes: renewed.sizeBytes,
        evictingBlobs: 0,
        evictingBytes: 0,
      });
    });

    test('no more are taken over than was asked for', async () => {
      for (const digest of someDigests(5)) await index.reserve(digest, signal);
      await fixture.advance(2 * MINUTE);
      expect((await index.reclaim(2, signal)).length).toBe(2);
      expect((await index.reclaim(10, signal)).length).toBe(3);
    });

    test('ten thousand digests at once are looked up, and a scan gives every one', async () => {
      const digests = someDigests(10_000);
      await Promise.all(digests.map((digest) => index.reserve(digest, signal)));
      await Promise.all(digests.slice(1).map((digest) => index.commit(digest, 0, signal)));
      expect(await index.touch(digests, signal)).toEqual(digests.slice(0, 1));
      const seen = new Set((await collect(index.scan(signal))).map(({ digest }) => digestKey(digest)));
      expect(seen.size).toBe(9_999);
      expect(await index.totals(signal)).toMatchObject({ blobs: 10_000 });
    });

    test('a signal that is aborted keeps a call from being made', async () => {
      const [digest] = someDigests(1) as [Digest];
      const aborted = AbortSignal.abort();
      await expect(index.reserve(digest, aborted)).rejects.toMatchObject({ name: 'AbortError' });
      await expect(index.touch([digest], aborted)).rejects.toMatchObject({ name: 'AbortError' });
      expect(await index.totals(signal)).toMatchObject({ blobs: 0 });
    });
  });
}
