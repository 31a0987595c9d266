import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { DeadlineError, deadlineSignal, linkSignals, onAbort, raceSignal } from './abort.ts';
import { FakeClock } from './fake-clock.ts';

describe('onAbort', () => {
  test('tells all who still wait, in order and once', () => {
    const controller = new AbortController();
    const heard: string[] = [];
    onAbort(controller.signal, () => heard.push('first'));
    const letGo = onAbort(controller.signal, () => heard.push('second'));
    onAbort(controller.signal, () => heard.push('third'));
    letGo();
    controller.abort();
    controller.abort();
    expect(heard).toEqual(['first', 'third']);
  });

  test('has one listener, however many wait', () => {
    const { signal } = new AbortController();
    for (let i = 0; i < 100; i += 1) onAbort(signal, () => {});
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  });
});

describe('linkSignals', () => {
  test('is aborted with the reason of the first source that is', () => {
    const [first, second] = [new AbortController(), new AbortController()];
    using link = linkSignals(first.signal, second.signal);
    second.abort('two');
    first.abort('one');
    expect(link.signal.reason).toBe('two');
  });

  test('is aborted from the start when a source is', () => {
    using link = linkSignals(AbortSignal.abort('gone'));
    expect(link.signal.reason).toBe('gone');
  });

  test('hears nothing of its sources once it is disposed of', () => {
    const source = new AbortController();
    const link = linkSignals(source.signal);
    link[Symbol.dispose]();
    source.abort();
    expect(link.signal.aborted).toBe(false);
  });
});

describe('deadlineSignal', () => {
  test('is aborted with a DeadlineError when time is up', async () => {
    const clock = new FakeClock();
    using deadline = deadlineSignal(clock, 50);
    await clock.advance(49);
    expect(deadline.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(deadline.signal.reason).toBeInstanceOf(DeadlineError);
  });

  test('leaves no timer behind once it is disposed of', () => {
    const clock = new FakeClock();
    deadlineSignal(clock, 50)[Symbol.dispose]();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('raceSignal', () => {
  test('gives what the promise gives when that is first', async () => {
    await expect(raceSignal(Promise.resolve(7), new AbortController().signal)).resolves.toBe(7);
  });

  test('throws the reason of a signal that is aborted first', async () => {
    const controller = new AbortController();
    const race = raceSignal(new Promise(() => {}), controller.signal);
    controller.abort('late');
    await expect(race).rejects.toBe('late');
  });

  test('swallows a failure that comes after the abort', async () => {
    await expect(raceSignal(Promise.reject(new Error('late')), AbortSignal.abort('first'))).rejects.toBe('first');
  });
});
