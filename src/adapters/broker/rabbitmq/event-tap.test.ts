import { expect, test } from 'vitest';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { EventTap } from './event-tap.ts';

test('events go out until one comes back', () => {
  const tap = new EventTap(new FakeClock());
  expect([tap.wants('completed.main'), tap.wants('completed.main')]).toEqual([true, true]);
  tap.returned('completed.main');
  expect(tap.wants('completed.main')).toBe(false);
});

test('what nobody takes of one kind holds back no other kind', () => {
  const tap = new EventTap(new FakeClock());
  tap.returned('leased.main');
  expect(tap.wants('completed.main')).toBe(true);
});

test('of a kind that nobody takes one goes out every quarter of a second', async () => {
  const clock = new FakeClock();
  const tap = new EventTap(clock);
  tap.returned('completed.main');
  let tried = 0;
  for (let i = 0; i < 100; i++) {
    if (tap.wants('completed.main')) {
      tried += 1;
      tap.returned('completed.main');
    }
    await clock.advance(10);
  }
  expect(tried).toBe(3);
});

test('once a try does not come back, all go out', async () => {
  const clock = new FakeClock();
  const tap = new EventTap(clock);
  tap.returned('completed.main');
  await clock.advance(250);
  expect([tap.wants('completed.main'), tap.wants('completed.main')]).toEqual([true, false]);
  await clock.advance(250);
  expect([tap.wants('completed.main'), tap.wants('completed.main')]).toEqual([true, true]);
});
