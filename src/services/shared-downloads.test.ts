import { beforeEach, expect, test } from 'vitest';
import { StatusCode } from '../domain/status-code.ts';
import { Deferred } from '../lib/deferred.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { SharedDownloads } from './shared-downloads.ts';

const signal = new AbortController().signal;
const NEVER = Number.NEGATIVE_INFINITY;

let clock: FakeClock;
let downloads: SharedDownloads<string>;
/** Every download that was begun. */
let begun: Array<{ readonly outcome: Deferred<string>; readonly signal: AbortSignal }>;

beforeEach(() => {
  clock = new FakeClock();
  downloads = new SharedDownloads(clock, 3);
  begun = [];
});

function join(parts: { key?: string; notBefore?: number; timeout?: number } = {}, end = signal) {
  const wish = { key: 'key', notBefore: NEVER, timeout: 1_000, ...parts };
  const joined = downloads.join(
    wish,
    (ends) => {
      const outcome = new Deferred<string>();
      ends.addEventListener('abort', () => outcome.reject(ends.reason));
      begun.push({ outcome, signal: ends });
      return outcome.promise;
    },
    end,
  );
  joined.catch(() => {});
  return joined;
}

test('requests that are alike share one download', async () => {
  const joined = [join(), join(), join({ key: 'another' })];
  await clock.advance(0);
  expect(begun).toHaveLength(2);
  for (const [index, { outcome }] of begun.entries()) outcome.resolve(`content ${index}`);
  const values = await Promise.all(joined);
  expect(values.map(({ value }) => value)).toEqual(['content 0', 'content 0', 'content 1']);
  expect(clock.pendingTimers).toBe(0);
});

test('a download that has ended is not shared any more', async () => {
  const first = join();
  await clock.advance(0);
  begun[0]?.outcome.reject(new Error('no luck'));
  await expect(first).rejects.toThrow('no luck');
  const second = join();
  await clock.advance(0);
  begun[1]?.outcome.resolve('content');
  expect((await second).value).toBe('content');
});

test('a download that began too early is not shared', async () => {
  const first = join();
  await clock.advance(100);
  const second = join({ notBefore: clock.now() });
  await clock.advance(0);
  expect(begun).toHaveLength(2);
  begun[0]?.outcome.resolve('old');
  begun[1]?.outcome.resolve('new');
  expect([(await first).value, (await second).value]).toEqual(['old', 'new']);
  expect((await second).startedAt - (await first).startedAt).toBe(100);
});

test('each caller waits for its own time, and the download ends with the longest', async () => {
  const [short, long] = [join({ timeout: 100 }), join({ timeout: 500 })];
  await clock.advance(100);
  await expect(short).rejects.toMatchObject({ name: 'DeadlineError' });
  expect(begun[0]?.signal.aborted).toBe(false);
  await clock.advance(400);
  await expect(long).rejects.toMatchObject({ name: 'DeadlineError' });
  expect(begun[0]?.signal.aborted).toBe(true);
  expect(clock.pendingTimers).toBe(0);
});

test('a download goes on when its caller leaves, for the next one', async () => {
  const leaving = new AbortController();
  const first = join({}, leaving.signal);
  await clock.advance(0);
  leaving.abort();
  await expect(first).rejects.toMatchObject({ name: 'AbortError' });
  const second = join();
  begun[0]?.outcome.resolve('content');
  expect((await second).value).toBe('content');
  expect(begun).toHaveLength(1);
});

test('beyond the bound callers are asked to come again, and those that join are not', async () => {
  const keys = ['a', 'b', 'c'];
  for (const key of keys) void join({ key });
  await clock.advance(0);
  await expect(join({ key: 'd' })).rejects.toMatchObject({
    code: StatusCode.RESOURCE_EXHAUSTED,
    details: [{ kind: 'retry-info' }],
  });
  const joined = join({ key: 'a' });
  begun[0]?.outcome.resolve('content');
  expect((await joined).value).toBe('content');
  void join({ key: 'd' });
  await clock.advance(0);
  expect(begun).toHaveLength(4);
});

test('a stop breaks off what is under way, and waits for it', async () => {
  const running = join();
  await clock.advance(0);
  await downloads.stop();
  await expect(running).rejects.toMatchObject({ name: 'AbortError' });
  expect(begun[0]?.signal.aborted).toBe(true);
  await clock.advance(0);
  expect(clock.pendingTimers).toBe(0);
});
