import { describe, expect, test } from 'vitest';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { describeLogStreamStore } from '../../../ports/log-stream-store.suite.ts';
import { InProcessLogStreamStore } from './in-process-log-stream-store.ts';

const RETENTION = 60_000;
const limits = {
  maximumStreamBytes: 1_000,
  maximumTotalBytes: 2_500,
  maximumStreams: 5,
  retentionMilliseconds: RETENTION,
};
const signal = new AbortController().signal;

describeLogStreamStore('InProcessLogStreamStore', () => {
  const clock = new FakeClock();
  const store = new InProcessLogStreamStore(clock, limits);
  return Promise.resolve({
    store,
    other: store,
    ...limits,
    keys: (count) => Array.from({ length: count }, (_, i) => `main/stream-${i}`),
    passRetention: (part = 1) => clock.advance(part * RETENTION),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});

describe('InProcessLogStreamStore', () => {
  test('waits no longer than asked for', async () => {
    const clock = new FakeClock();
    const store = new InProcessLogStreamStore(clock, limits);
    let ended = false;
    const wait = store.awaitGrowth('key', 0, 2_000, signal).then(() => {
      ended = true;
    });
    await clock.advance(1_999);
    expect(ended).toBe(false);
    await clock.advance(1);
    await wait;
  });

  test('what a reader was given stays as it is while the stream grows', async () => {
    const store = new InProcessLogStreamStore(new FakeClock(), limits);
    const append = (offset: number, text: string) =>
      store.append('key', { offset, data: Buffer.from(text), finish: false, create: true }, signal);
    await append(0, 'before');
    const piece = await store.read('key', 0, 100, signal);
    await append(6, 'behind');
    expect(Buffer.from(piece?.data ?? '').toString()).toBe('before');
  });

  test('lets go of everything that nobody asks for', async () => {
    const clock = new FakeClock();
    const store = new InProcessLogStreamStore(clock, limits);
    await store.append('key', { offset: 0, data: Buffer.from('x'), finish: true, create: true }, signal);
    await store.awaitGrowth('other', 0, 1, AbortSignal.abort()).catch(() => {});
    await clock.advance(3 * RETENTION);
    expect(clock.pendingTimers).toBe(0);
  });
});
