import { expect, test } from 'vitest';
import { digestOf } from '../../../domain/digest.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { describeBlobIndex } from '../../../ports/blob-index.suite.ts';
import { MemoryBlobIndex } from './memory-blob-index.ts';

describeBlobIndex('MemoryBlobIndex', async () => {
  const clock = new FakeClock();
  return {
    index: new MemoryBlobIndex({ clock, lease: 60_000, resolution: 10_000, seed: 7 }),
    advance: (milliseconds) => clock.advance(milliseconds),
    [Symbol.asyncDispose]: async () => {},
  };
});

test('what was used by a clock that has been set back since can be evicted, and is used again', async () => {
  const clock = new FakeClock();
  const signal = new AbortController().signal;
  const index = new MemoryBlobIndex({ clock, lease: 60_000, resolution: 10_000, seed: 7 });
  const [first, second] = [digestOf(Buffer.from('1')), digestOf(Buffer.from('2'))];
  const now = clock.now();
  clock.setWallClock(now + 365 * 24 * 3_600_000);
  for (const digest of [first, second]) {
    await index.reserve(digest, signal);
    await index.commit(digest, 0, signal);
  }
  clock.setWallClock(now);
  await index.touch([first], signal);
  expect(await index.claim([first, second], 60_000, signal)).toEqual([second]);
});
