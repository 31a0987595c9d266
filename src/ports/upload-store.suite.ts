import { setMaxListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf, emptyDigest } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type { FakeClock } from '../lib/fake-clock.ts';
import { inChunks, someBytes } from './blob-store.suite.ts';
import type { BlobStore } from './blob-store.ts';
import type { UploadStore } from './upload-store.ts';

/** An upload store under test, what it stores into, and the clock that drives its expiry. */
export interface UploadStoreSubject {
  readonly uploads: UploadStore;
  readonly blobs: BlobStore;
  readonly clock: FakeClock;
  dispose(): Promise<void>;
}

/** What the suite expects of the store's configuration. */
export const UPLOAD_SUITE_OPTIONS = {
  expiryMilliseconds: 60_000,
  maximumPartialBytes: 2_000_000,
  maximumPartialUploads: 100,
};

const signal = new AbortController().signal;
setMaxListeners(0, signal);
const finished = () => true;
const unfinished = () => false;

async function* broken(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* inChunks(data, 10_000);
  throw new Error('connection lost');
}

/** What every UploadStore keeps to. @param create makes an empty one with `UPLOAD_SUITE_OPTIONS`. */
export function describeUploadStore(name: string, create: () => Promise<UploadStoreSubject>): void {
  describe(`${name} as an upload store`, () => {
    let subject: UploadStoreSubject;
    let uploads: UploadStore;
    let blobs: BlobStore;

    beforeEach(async () => {
      subject = await create();
      ({ uploads, blobs } = subject);
    });
    afterEach(() => subject.dispose());

    for (const size of [50_000, 700_000]) {
      const data = someBytes(size, size);
      const digest = digestOf(data);
      const half = size >> 1;
      const readBack = async () => Buffer.from(await blobs.readWhole(digest, signal)).equals(data);

      describe(`for a blob of ${size} bytes`, () => {
        test('a status tells no less because the upload ends while it is asked for', async () => {
          await uploads.receive('u', digest, 0, inChunks(data.subarray(0, half), 16_384), unfinished, signal);
          const findMissing = blobs.findMissing.bind(blobs);
          blobs.findMissing = async (digests) => {
            blobs.findMissing = findMissing;
            const missing = await findMissing(digests, signal);
            await uploads.receive('u', digest, half, inChunks(data.subarray(half), 16_384), finished, signal);
            return missing;
          };
          const { committedSize } = await uploads.status('u', digest, signal);
          expect(committedSize).toBeGreaterThanOrEqual(half);
        });

        test('an upload in one go stores the blob', async () => {
          const result = await uploads.receive('u', digest, 0, inChunks(data, 16_384), finished, signal);
          expect(result).toEqual({ committedSize: size, complete: true });
          expect(await readBack()).toBe(true);
          expect(await uploads.status('u', digest, signal)).toEqual({ committedSize: size, complete: true });
        });

        test('a blob that is stored already is complete at once, and its source left unread', async () => {
          await blobs.write(digest, data, signal);
          const unread = (async function* (): AsyncGenerator<Uint8Array> {
            yield* [];
            throw new Error('was read');
          })();
          expect(await uploads.receive('u', digest, 0, unread, finished, signal)).toEqual({
            committedSize: size,
            complete: true,
          });
        });

        test('an upload that broke off goes on where it stood', async () => {
          await expect(
            uploads.receive('u', digest, 0, broken(data.subarray(0, half)), unfinished, signal),
          ).rejects.toThrow('connection lost');
          expect(await blobs.findMissing([digest], signal)).toHaveLength(1);
          expect(await uploads.status('u', digest, signal)).toEqual({ committedSize: half, complete: false });
          const rest = inChunks(data.subarray(half), 16_384);
          expect(await uploads.receive('u', digest, half, rest, finished, signal)).toEqual({
            committedSize: size,
            complete: true,
          });
          expect(await readBack()).toBe(true);
        });

        test('bytes that are sent again are skipped', async () => {
          await expect(
            uploads.receive('u', digest, 0, broken(data.subarray(0, half)), unfinished, signal),
          ).rejects.toThrow('connection lost');
          await uploads.receive('u', digest, 100, inChunks(data.subarray(100), 16_384), finished, signal);
          expect(await readBack()).toBe(true);
        });

        test('an upload that begins anew at offset 0 succeeds', async () => {
          await expect(
            uploads.receive('u', digest, 0, broken(data.subarray(0, half)), unfinished, signal),
          ).rejects.toThrow('connection lost');
          await uploads.receive('u', digest, 0, inChunks(data, 16_384), finished, signal);
          expect(await readBack()).toBe(true);
        });

        test('an upload whose source finds its bytes wrong begins anew', async () => {
          async function* spoiled(): AsyncGenerator<Uint8Array> {
            yield new Uint8Array(half);
            throw invalidArgument('data', 'is damaged');
          }
          await expect(uploads.receive('u', digest, 0, spoiled(), finished, signal)).rejects.toThrow('is damaged');
          await expect(uploads.status('u', digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
          await uploads.receive('u', digest, 0, inChunks(data, 16_384), finished, signal);
          expect(await readBack()).toBe(true);
        });

        test('bytes without finish_write are kept and the blob is not stored', async () => {
          const part = await uploads.receive('u', digest, 0, inChunks(data, 16_384), unfinished, signal);
          expect(part).toEqual({ committedSize: size, complete: false });
          expect(await blobs.findMissing([digest], signal)).toHaveLength(1);
          const end = await uploads.receive('u', digest, size, inChunks(new Uint8Array(0), 1), finished, signal);
          expect(end).toEqual({ committedSize: size, complete: true });
          expect(await readBack()).toBe(true);
        });

        test('an offset beyond what has arrived is OUT_OF_RANGE and loses nothing', async () => {
          const refused = { code: StatusCode.OUT_OF_RANGE };
          await expect(uploads.receive('u', digest, 5, inChunks(data, 16_384), finished, signal)).rejects.toMatchObject(
            refused,
          );
          await uploads.receive('u', digest, 0, inChunks(data.subarray(0, half), 16_384), unfinished, signal);
          await expect(
            uploads.receive('u', digest, half + 1, inChunks(data, 16_384), finished, signal),
          ).rejects.toMatchObject(refused);
          expect(await uploads.status('u', digest, signal)).toEqual({ committedSize: half, complete: false });
        });

        test.each([
          ['a wrong byte', (bytes: Uint8Array) => bytes.map((byte, i) => (i === 7 ? byte ^ 1 : byte))],
          ['a byte too few', (bytes: Uint8Array) => bytes.subarray(1)],
          ['a byte too many', (bytes: Uint8Array) => Buffer.concat([bytes, Uint8Array.of(1)])],
        ])('%s is INVALID_ARGUMENT and the upload starts anew', async (_, spoil) => {
          await expect(
            uploads.receive('u', digest, 0, inChunks(spoil(data), 16_384), finished, signal),
          ).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
          await expect(uploads.status('u', digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
          await uploads.receive('u', digest, 0, inChunks(data, 16_384), finished, signal);
          expect(await readBack()).toBe(true);
        });

        test('what stays unfinished is dropped after the configured time', async () => {
          await uploads.receive('u', digest, 0, inChunks(data.subarray(0, half), 16_384), unfinished, signal);
          await subject.clock.advance(UPLOAD_SUITE_OPTIONS.expiryMilliseconds);
          await expect(uploads.status('u', digest, signal)).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
          expect(subject.clock.pendingTimers).toBe(0);
        });

        test('a second call for the same upload takes over', async () => {
          const controller = new AbortController();
          let reached!: () => void;
          const waits = new Promise<void>((resolve) => {
            reached = resolve;
          });
          async function* stalled(): AsyncGenerator<Uint8Array> {
            yield data.slice(0, half);
            reached();
            await new Promise((_, reject) => controller.signal.addEventListener('abort', reject));
          }
          const first = uploads.receive('u', digest, 0, stalled(), unfinished, signal);
          const refused = first.catch((error: unknown) => error);
          await waits;
          await uploads.receive('u', digest, half, inChunks(data.subarray(half), 16_384), finished, signal);
          expect(await refused).toMatchObject({ code: StatusCode.ABORTED });
          controller.abort();
          expect(await readBack()).toBe(true);
        });

        test('an aborted call ends though its source does not', async () => {
          const controller = new AbortController();
          async function* stalled(): AsyncGenerator<Uint8Array> {
            yield data.slice(0, half);
            controller.abort();
            await new Promise(() => {});
          }
          await expect(uploads.receive('u', digest, 0, stalled(), unfinished, controller.signal)).rejects.toMatchObject(
            { name: 'AbortError' },
          );
          expect(await uploads.status('u', digest, signal)).toEqual({ committedSize: half, complete: false });
        });

        test('uploads of one blob under different names do not meet', async () => {
          await uploads.receive('u', digest, 0, inChunks(data.subarray(0, half), 16_384), unfinished, signal);
          await uploads.receive('v', digest, 0, inChunks(data, 16_384), finished, signal);
          expect(await readBack()).toBe(true);
          expect(await uploads.status('u', digest, signal)).toEqual({ committedSize: size, complete: true });
        });
      });
    }

    test('the empty blob is complete', async () => {
      const none = inChunks(new Uint8Array(0), 1);
      expect(await uploads.receive('u', emptyDigest(), 0, none, finished, signal)).toEqual({
        committedSize: 0,
        complete: true,
      });
    });

    test('broken-off uploads stay under their total bound, the oldest go first', async () => {
      const all = Array.from({ length: 6 }, (_, i) => someBytes(600_000, 50 + i));
      for (const [i, data] of all.entries()) {
        await uploads.receive(`u${i}`, digestOf(data), 0, inChunks(data.subarray(1), 65_536), unfinished, signal);
      }
      const known = await Promise.all(
        all.map((data, i) =>
          uploads.status(`u${i}`, digestOf(data), signal).then(
            () => true,
            () => false,
          ),
        ),
      );
      expect(known).toEqual([false, false, false, true, true, true]);
    });

    test('many uploads at once all arrive', async () => {
      const all = Array.from({ length: 50 }, (_, i) => someBytes(1 + i * 3000, 200 + i));
      await Promise.all(
        all.map((data, i) => uploads.receive(`u${i}`, digestOf(data), 0, inChunks(data, 16_384), finished, signal)),
      );
      expect(
        await blobs.findMissing(
          all.map((data) => digestOf(data)),
          signal,
        ),
      ).toEqual([]);
    });
  });
}
