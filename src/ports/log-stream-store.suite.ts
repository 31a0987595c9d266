import { setMaxListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../domain/status-code.ts';
import type { LogStreamStore } from './log-stream-store.ts';

/** A store that a test has for itself. */
export interface LogStreamStoreFixture extends AsyncDisposable {
  readonly store: LogStreamStore;
  /** Another replica's view of the same streams; the same where there is only one. */
  readonly other: LogStreamStore;
  /** The bound that it was made with. */
  readonly maximumStreamBytes: number;
  /** Total bytes for streams that share their bounds; fewer than three of the longest streams, and at least two. */
  readonly maximumTotalBytes: number;
  /** How many streams that share their bounds there may be. */
  readonly maximumStreams: number;
  /** Different keys that share their bounds. */
  keys(count: number): string[];
  /** Lets the retention pass, or a part of it. */
  passRetention(part?: number): Promise<void>;
}

const signal = new AbortController().signal;
setMaxListeners(0, signal);
const data = Buffer.from('first line\nsecond line\n');
const LONG = 60_000;

const at = (offset: number, bytes: Uint8Array = data, more: { finish?: boolean; create?: boolean } = {}) => ({
  offset,
  data: bytes,
  finish: more.finish ?? false,
  create: more.create ?? true,
});

/** The rules of LogStreamStore, for any implementation. */
export function describeLogStreamStore(name: string, create: () => Promise<LogStreamStoreFixture>): void {
  describe(`${name} as a LogStreamStore`, () => {
    const textOf = async (store: LogStreamStore, key: string, offset = 0, most = 1_000) =>
      Buffer.from((await store.read(key, offset, most, signal))?.data ?? 'there is none').toString();

    test('what was written is read, at any replica', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      expect(await fixture.store.append(key, at(0), signal)).toEqual({ size: 23, finished: false });
      expect(await textOf(fixture.other, key)).toBe(data.toString());
      expect(await fixture.other.state(key, signal)).toEqual({ size: 23, finished: false });
    });

    test('bytes come back as they were, whatever they are', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      const bytes = Buffer.from(Array.from({ length: 512 }, (_, i) => i % 256));
      await fixture.store.append(key, at(0, bytes), signal);
      expect(Buffer.from((await fixture.store.read(key, 0, 1_000, signal))?.data ?? '')).toEqual(bytes);
    });

    test('a part is read from its offset, with no more bytes than asked for', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      await fixture.store.append(key, at(0), signal);
      expect(await textOf(fixture.store, key, 6, 4)).toBe('line');
      expect(await textOf(fixture.store, key, 23, 4)).toBe('');
      expect(await textOf(fixture.store, key, 99, 4)).toBe('');
    });

    test('a stream that nobody made is not there', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      expect(await fixture.store.read(key, 0, 1, signal)).toBeUndefined();
      expect(await fixture.store.state(key, signal)).toBeUndefined();
      await expect(fixture.store.append(key, at(0, data, { create: false }), signal)).rejects.toMatchObject({
        code: StatusCode.NOT_FOUND,
      });
      expect(await fixture.store.state(key, signal)).toBeUndefined();
    });

    test('a stream that was created is there, and empty', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      await fixture.store.create(key, signal);
      expect(await fixture.store.state(key, signal)).toEqual({ size: 0, finished: false });
      expect(await fixture.store.append(key, at(0, data, { create: false }), signal)).toMatchObject({ size: 23 });
    });

    test('creating again changes nothing', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      await fixture.store.append(key, at(0), signal);
      await fixture.store.create(key, signal);
      expect(await textOf(fixture.store, key)).toBe(data.toString());
    });

    test('a write that is repeated, whole or in part, adds what is new alone', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      await fixture.store.append(key, at(0, data.subarray(0, 10)), signal);
      await fixture.store.append(key, at(0, data.subarray(0, 10)), signal);
      expect(await fixture.store.append(key, at(4, data.subarray(4)), signal)).toMatchObject({ size: 23 });
      expect(await textOf(fixture.store, key)).toBe(data.toString());
    });

    test('whatever is written, in whatever pieces and however often, each byte stands once at its place', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      const whole = Buffer.from(Array.from({ length: 400 }, (_, i) => (i * 7) % 256));
      const pieces = fc.array(fc.tuple(fc.nat(400), fc.nat(120)), { maxLength: 12 });
      let size = 0;
      await fc.assert(
        fc.asyncProperty(pieces, async (all) => {
          for (const [offset, length] of all) {
            const piece = whole.subarray(offset, offset + length);
            const isGap = offset > size;
            if (!isGap) size = Math.max(size, offset + piece.byteLength);
            const outcome = await fixture.store
              .append(key, at(offset, piece), signal)
              .catch((thrown: unknown) => thrown);
            expect(outcome).toMatchObject(isGap ? { code: StatusCode.OUT_OF_RANGE } : { size, finished: false });
            const read = await fixture.other.read(key, Math.min(offset, size), length, signal);
            const expected = whole.subarray(Math.min(offset, size), Math.min(Math.min(offset, size) + length, size));
            expect(Buffer.from(read?.data ?? [])).toEqual(expected);
          }
        }),
        { numRuns: 20 },
      );
    });

    test('a write behind the end gives OUT_OF_RANGE and leaves nothing', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      await expect(fixture.store.append(key, at(1), signal)).rejects.toMatchObject({ code: StatusCode.OUT_OF_RANGE });
      expect(await fixture.store.state(key, signal)).toBeUndefined();
    });

    test('a finished stream takes nothing more, and its last write again', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      const last = at(0, data, { finish: true });
      expect(await fixture.store.append(key, last, signal)).toEqual({ size: 23, finished: true });
      expect(await fixture.store.append(key, last, signal)).toEqual({ size: 23, finished: true });
      await expect(fixture.store.append(key, at(23), signal)).rejects.toMatchObject({
        code: StatusCode.FAILED_PRECONDITION,
      });
      expect(await textOf(fixture.store, key)).toBe(data.toString());
    });

    test('what is beyond the longest stream gives RESOURCE_EXHAUSTED and changes nothing', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      await fixture.store.append(key, at(0), signal);
      const tooMuch = Buffer.alloc(fixture.maximumStreamBytes - 22);
      await expect(fixture.store.append(key, at(23, tooMuch), signal)).rejects.toMatchObject({
        code: StatusCode.RESOURCE_EXHAUSTED,
      });
      expect(await fixture.store.append(key, at(23, tooMuch.subarray(1)), signal)).toEqual({
        size: fixture.maximumStreamBytes,
        finished: false,
      });
    });

    test('when all together are too long the finished stream goes that was used least recently', async () => {
      await using fixture = await create();
      const [oldest = '', older = '', newest = ''] = fixture.keys(3);
      const long = Buffer.alloc(fixture.maximumStreamBytes, 'x');
      await fixture.store.append(oldest, at(0, long, { finish: true }), signal);
      await fixture.passRetention(0.1);
      await fixture.store.append(older, at(0, long, { finish: true }), signal);
      await fixture.passRetention(0.1);
      await fixture.store.append(newest, at(0, long), signal);
      expect(await fixture.store.state(oldest, signal)).toBeUndefined();
      expect(await fixture.store.state(older, signal)).toMatchObject({ size: long.length });
    });

    test('streams that are written to do not make way: RESOURCE_EXHAUSTED with RetryInfo', async () => {
      await using fixture = await create();
      const [first = '', second = '', third = ''] = fixture.keys(3);
      const long = Buffer.alloc(fixture.maximumStreamBytes, 'x');
      await fixture.store.append(first, at(0, long), signal);
      await fixture.store.append(second, at(0, long), signal);
      await expect(fixture.store.append(third, at(0, long), signal)).rejects.toMatchObject({
        code: StatusCode.RESOURCE_EXHAUSTED,
        details: [{ kind: 'retry-info' }],
      });
      expect(await fixture.store.state(first, signal)).toMatchObject({ size: long.length });
      expect(await fixture.store.state(third, signal)).toBeUndefined();
    });

    test('more streams than the bound are refused with RESOURCE_EXHAUSTED while none is finished', async () => {
      await using fixture = await create();
      const keys = fixture.keys(fixture.maximumStreams + 1);
      for (const key of keys.slice(1)) await fixture.store.create(key, signal);
      const [one = '', another = ''] = keys;
      await expect(fixture.store.create(one, signal)).rejects.toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED });
      await fixture.store.append(another, at(0, data, { finish: true }), signal);
      await fixture.store.create(one, signal);
      expect(await fixture.store.state(another, signal)).toBeUndefined();
    });

    test('a stream that nobody writes or reads is forgotten, and its room is free', async () => {
      await using fixture = await create();
      const [first = '', second = '', third = ''] = fixture.keys(3);
      const long = Buffer.alloc(fixture.maximumStreamBytes, 'x');
      await fixture.store.append(first, at(0, long), signal);
      await fixture.store.append(second, at(0, long), signal);
      await fixture.passRetention();
      expect(await fixture.store.state(first, signal)).toBeUndefined();
      expect(await fixture.store.append(third, at(0, long), signal)).toMatchObject({ size: long.length });
    });

    test('a stream that is read or waited for is not forgotten', async () => {
      await using fixture = await create();
      const [read = '', awaited = '', unused = ''] = fixture.keys(3);
      for (const key of [read, awaited, unused]) await fixture.store.append(key, at(0), signal);
      await fixture.passRetention(0.6);
      await fixture.store.read(read, 0, 1, signal);
      await fixture.store.awaitGrowth(awaited, 0, LONG, signal);
      await fixture.passRetention(0.6);
      expect(await fixture.store.state(read, signal)).toMatchObject({ size: 23 });
      expect(await fixture.store.state(awaited, signal)).toMatchObject({ size: 23 });
      expect(await fixture.store.state(unused, signal)).toBeUndefined();
    });

    test('whoever waits for growth hears of it, from another replica too', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      const here = fixture.store.awaitGrowth(key, 0, LONG, signal);
      const there = fixture.other.awaitGrowth(key, 0, LONG, signal);
      await fixture.store.append(key, at(0), signal);
      await Promise.all([here, there]);
      const end = fixture.other.awaitGrowth(key, 23, LONG, signal);
      await fixture.store.append(key, at(23, Buffer.alloc(0), { finish: true }), signal);
      await expect(end).resolves.toBeUndefined();
    });

    test('what is there already is not waited for', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      await fixture.store.append(key, at(0), signal);
      await expect(fixture.other.awaitGrowth(key, 22, LONG, signal)).resolves.toBeUndefined();
    });

    test('an aborted wait throws the reason', async () => {
      await using fixture = await create();
      const [read = '', written = ''] = fixture.keys(2);
      const controller = new AbortController();
      const waits = [
        fixture.store.awaitGrowth(read, 0, LONG, controller.signal),
        fixture.store.awaitReader(written, controller.signal),
      ];
      const reason = new Error('enough');
      controller.abort(reason);
      for (const wait of waits) await expect(wait).rejects.toBe(reason);
    });

    test('a writer that waits for a reader hears of one who comes, at another replica too', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      const controller = new AbortController();
      const waits = [fixture.store.awaitReader(key, signal), fixture.other.awaitReader(key, signal)];
      const reading = fixture.other.awaitGrowth(key, 0, LONG, controller.signal);
      await Promise.all(waits);
      controller.abort(new Error('enough'));
      await expect(reading).rejects.toThrow('enough');
    });

    test('a reader who waits already is found at once', async () => {
      await using fixture = await create();
      const [key = ''] = fixture.keys(1);
      const controller = new AbortController();
      const reading = fixture.store.awaitGrowth(key, 0, LONG, controller.signal);
      await fixture.other.awaitReader(key, signal);
      controller.abort(new Error('enough'));
      await expect(reading).rejects.toThrow('enough');
    });

    test('the first secret that was proposed is that of all', async () => {
      await using fixture = await create();
      const secret = await fixture.store.shareSecret('one', signal);
      expect(await fixture.other.shareSecret('two', signal)).toBe(secret);
      expect(secret).toBe('one');
    });
  });
}
