import { afterEach, describe, expect, test, vi } from 'vitest';
import { backoffDelay } from './backoff.ts';
import { SteadyClock, SystemClock, sleep } from './clock.ts';
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

describe('SystemClock', () => {
  afterEach(() => vi.restoreAllMocks());

  test('tells the time of day that the host has, also after it was set or has slept', () => {
    const clock = new SystemClock();
    const hour = 3_600_000;
    for (const hours of [5, -2]) {
      const [before, elapsed] = [clock.now(), clock.monotonic()];
      const hostTime = Date.now();
      vi.spyOn(Date, 'now').mockImplementation(() => hostTime + hours * hour);
      const [jump, passed] = [clock.now() - before, clock.monotonic() - elapsed];
      vi.restoreAllMocks();
      expect(Math.abs(jump - hours * hour)).toBeLessThan(passed + 50);
      expect(passed).toBeLessThan(hour);
    }
  });

  test('tells fractions of a millisecond, and never less than before while nobody sets the host', () => {
    const clock = new SystemClock();
    const times = Array.from({ length: 1_000 }, () => clock.now());
    expect(times.every((each, i) => each >= (times[i - 1] ?? 0))).toBe(true);
    expect(times.some((each) => !Number.isInteger(each))).toBe(true);
  });
});

describe('SteadyClock', () => {
  test('begins with the time of day, and knows no jump', async () => {
    const clock = new FakeClock(1_000);
    const steady = new SteadyClock(clock);
    clock.setWallClock(1_000_000);
    await clock.advance(20);
    expect([steady.now(), steady.monotonic()]).toEqual([1_020, 20]);
  });

  test('has the timers of the other', async () => {
    const clock = new FakeClock(0);
    let fired = 0;
    const steady = new SteadyClock(clock);
    steady.setTimer(10, () => (fired += 1));
    steady.setTimer(10, () => (fired += 1)).cancel();
    await clock.advance(10);
    expect(fired).toBe(1);
  });
});
