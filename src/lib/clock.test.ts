import { describe, expect, test } from 'vitest';
import { backoffDelay } from './backoff.ts';
import { sleep } from './clock.ts';
import { FakeClock } from './fake-clock.ts';

describe('FakeClock', () => {
  test('runs timers in the order in which they fall due, those set meanwhile included', async () => {
    const clock = new FakeClock(0);
    const fired: string[] = [];
    clock.setTimer(20, () => fired.push(`b ${clock.now()}`));
    clock.setTimer(10, () => {
      fired.push(`a ${clock.now()}`);
      clock.setTimer(5, () => fired.push(`c ${clock.now()}`));
    });
    clock.setTimer(15, () => fired.push('never')).cancel();
    await clock.advance(30);
    expect(fired).toEqual(['a 10', 'c 15', 'b 20']);
    expect(clock.pendingTimers).toBe(0);
  });

  test('a jump of the wall clock fires nothing', async () => {
    const clock = new FakeClock(0);
    let fired = false;
    clock.setTimer(10, () => {
      fired = true;
    });
    clock.setWallClock(1_000_000);
    await clock.advance(9);
    expect(fired).toBe(false);
    expect(clock.now()).toBe(1_000_009);
  });
});

describe('sleep', () => {
  test('ends when its time has come', async () => {
    const clock = new FakeClock();
    let woke = false;
    const nap = sleep(clock, 10, new AbortController().signal).then(() => {
      woke = true;
    });
    await clock.advance(9);
    expect(woke).toBe(false);
    await clock.advance(1);
    await nap;
    expect(woke).toBe(true);
  });

  test('an abort ends it and takes its timer back', async () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const nap = sleep(clock, 10, controller.signal);
    controller.abort('up');
    await expect(nap).rejects.toBe('up');
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('backoffDelay', () => {
  test('grows by the factor up to the maximum', () => {
    const delays = [1, 2, 3, 20].map((failures) =>
      backoffDelay(failures, () => 0, { initial: 100, factor: 2, maximum: 1_000 }),
    );
    expect(delays).toEqual([100, 200, 400, 1_000]);
  });

  test('jitter only shortens', () => {
    expect(backoffDelay(1, () => 1, { initial: 100, jitter: 0.3 })).toBe(70);
  });
});
