import { describe, expect, test } from 'vitest';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError, unavailable } from '../../domain/status-error.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { type Attempt, Retrier } from './retrier.ts';

const never = new AbortController().signal;

function setUp(failures: readonly unknown[], options: { attempts?: number } = {}) {
  const clock = new FakeClock();
  const retrier = new Retrier({ clock, random: () => 0, ...options });
  const starts: number[] = [];
  const task = (attempt: Attempt) => {
    starts.push(clock.monotonic());
    const failure = failures[attempt.number - 1];
    if (typeof failure === 'string') attempt.madeProgress();
    return failure === undefined
      ? Promise.resolve('done')
      : Promise.reject(typeof failure === 'string' ? new StatusError(StatusCode.UNAVAILABLE, failure) : failure);
  };
  return { clock, retrier, starts, task };
}

const gone = new StatusError(StatusCode.UNAVAILABLE, 'gone');

describe('Retrier', () => {
  test('waits longer after each failure', async () => {
    const { clock, retrier, starts, task } = setUp([gone, gone, gone]);
    const outcome = retrier.run(task, never);
    await clock.advance(10_000);
    await expect(outcome).resolves.toBe('done');
    expect(starts).toEqual([0, 100, 260, 516]);
  });

  test('gives up after the configured number of tries, with the last failure', async () => {
    const { clock, retrier, starts, task } = setUp([gone, gone, gone], { attempts: 2 });
    const outcome = retrier.run(task, never).catch((thrown: unknown) => thrown);
    await clock.advance(10_000);
    expect(await outcome).toBe(gone);
    expect(starts).toHaveLength(2);
  });

  test('does not try again what the caller did wrong', async () => {
    const wrong = new StatusError(StatusCode.INVALID_ARGUMENT, 'wrong');
    const { retrier, starts, task } = setUp([wrong]);
    await expect(retrier.run(task, never)).rejects.toBe(wrong);
    expect(starts).toHaveLength(1);
  });

  test('waits as long as the server asks, within its limit', async () => {
    const { clock, retrier, starts, task } = setUp([unavailable('busy', 3_000), unavailable('busy', 1e9)]);
    const outcome = retrier.run(task, never);
    await clock.advance(100_000);
    await expect(outcome).resolves.toBe('done');
    expect(starts).toEqual([0, 3_000, 63_000]);
  });

  test('tries again whatever the server asks to be tried again', async () => {
    const full = new StatusError(StatusCode.RESOURCE_EXHAUSTED, 'full', {
      details: [{ kind: 'retry-info', retryDelayMilliseconds: 10 }],
    });
    const { clock, retrier, task } = setUp([full]);
    const outcome = retrier.run(task, never);
    await clock.advance(10);
    await expect(outcome).resolves.toBe('done');
  });

  test('counts tries anew after progress', async () => {
    const { clock, retrier, task } = setUp(['a', 'b', 'c', 'd'], { attempts: 2 });
    const outcome = retrier.run(task, never);
    await clock.advance(10_000);
    await expect(outcome).resolves.toBe('done');
  });

  test('stops waiting when the signal is aborted', async () => {
    const { clock, retrier, task } = setUp([gone]);
    const controller = new AbortController();
    const outcome = retrier.run(task, controller.signal).catch((thrown: unknown) => thrown);
    await clock.advance(1);
    controller.abort('enough');
    expect(await outcome).toBe('enough');
    expect(clock.pendingTimers).toBe(0);
  });
});
