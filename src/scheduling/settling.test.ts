import { expect, test } from 'vitest';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { KnownVersion } from '../ports/job-store.ts';
import { Settling } from './settling.ts';

function setUp(settle: (carriedOut: readonly KnownVersion[]) => Promise<void> = () => Promise.resolve()) {
  const clock = new FakeClock();
  const calls: Array<readonly KnownVersion[]> = [];
  const jobs = {
    settle: (carriedOut: readonly KnownVersion[]) => {
      calls.push(carriedOut);
      return settle(carriedOut);
    },
  };
  return { clock, calls, settling: new Settling({ jobs, clock, logger: silentLogger }) };
}

test('what was carried out within half a second is settled by one call', async () => {
  const { clock, calls, settling } = setUp();
  settling.add('a', 1);
  await clock.advance(300);
  settling.add('b', 2);
  await clock.advance(199);
  expect(calls).toEqual([]);
  await clock.advance(1);
  expect(calls).toEqual([
    [
      { jobId: 'a', version: 1 },
      { jobId: 'b', version: 2 },
    ],
  ]);
});

test('a job that was leased meanwhile is not settled', async () => {
  const { clock, calls, settling } = setUp();
  settling.add('a', 1);
  settling.drop('a');
  await clock.advance(1_000);
  expect(calls).toEqual([]);
});

test('only the youngest version of a job is settled', async () => {
  const { clock, calls, settling } = setUp();
  settling.add('a', 1);
  settling.add('a', 3);
  await clock.advance(500);
  expect(calls).toEqual([[{ jobId: 'a', version: 3 }]]);
});

test('many jobs are settled early', () => {
  const { calls, settling } = setUp();
  for (let i = 0; i < 5_000; i++) settling.add(`job-${i}`, 1);
  expect(calls.map((each) => each.length)).toEqual([5_000]);
});

test('a flush settles what waits, and a store that fails keeps nobody', async () => {
  const { calls, settling } = setUp(() => Promise.reject(new Error('no connection')));
  settling.add('a', 1);
  await settling.flush();
  expect(calls).toHaveLength(1);
});
