import { describe, expect, test } from 'vitest';
import { Deferred } from './deferred.ts';
import { mapConcurrently, Semaphore } from './semaphore.ts';

const never = new AbortController().signal;

describe('Semaphore', () => {
  test('lets no more in at once than it has permits, in order of arrival', async () => {
    const semaphore = new Semaphore(2);
    const gates = [0, 1, 2, 3].map(() => new Deferred<void>());
    const entered: number[] = [];
    const runs = gates.map((gate, index) =>
      semaphore.run(() => {
        entered.push(index);
        return gate.promise;
      }, never),
    );
    await Promise.resolve();
    expect(entered).toEqual([0, 1]);
    gates[1]?.resolve();
    await runs[1];
    expect(entered).toEqual([0, 1, 2]);
    for (const gate of gates) gate.resolve();
    await Promise.all(runs);
    expect(entered).toEqual([0, 1, 2, 3]);
  });

  test('a waiter that gives up takes no permit', async () => {
    const semaphore = new Semaphore(1);
    const gate = new Deferred<void>();
    const first = semaphore.run(() => gate.promise, never);
    const impatient = new AbortController();
    const second = semaphore.run(() => Promise.resolve(), impatient.signal);
    impatient.abort('enough');
    await expect(second).rejects.toBe('enough');
    gate.resolve();
    await first;
    await expect(semaphore.run(() => Promise.resolve('in'), never)).resolves.toBe('in');
  });

  test('a task that fails gives its permit back', async () => {
    const semaphore = new Semaphore(1);
    await expect(semaphore.run(() => Promise.reject(new Error('no')), never)).rejects.toThrow('no');
    await expect(semaphore.run(() => Promise.resolve('in'), never)).resolves.toBe('in');
  });
});

describe('mapConcurrently', () => {
  test('keeps the order of the items', async () => {
    const doubled = await mapConcurrently([1, 2, 3], 2, never, (item) => Promise.resolve(item * 2));
    expect(doubled).toEqual([2, 4, 6]);
  });

  test('begins nothing new after a failure, and throws the first one', async () => {
    const begun: number[] = [];
    const run = mapConcurrently([0, 1, 2, 3, 4], 1, never, (item) => {
      begun.push(item);
      return item === 1 ? Promise.reject(new Error('one')) : Promise.resolve(item);
    });
    await expect(run).rejects.toThrow('one');
    expect(begun).toEqual([0, 1]);
  });

  test('throws the reason of an aborted signal', async () => {
    const run = mapConcurrently([1], 1, AbortSignal.abort('stop'), () => Promise.resolve());
    await expect(run).rejects.toBe('stop');
  });
});
