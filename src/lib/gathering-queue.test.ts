import { expect, test } from 'vitest';
import { Deferred } from './deferred.ts';
import { type Gathered, GatheringQueue } from './gathering-queue.ts';

const never = new AbortController().signal;

function setUp(process: (group: ReadonlyArray<Gathered<number, number>>, signal: AbortSignal) => Promise<void>) {
  const groups: number[][] = [];
  const queue = new GatheringQueue<number, number>({
    weigh: (item) => item,
    maxWeight: () => Promise.resolve(10),
    maxCount: 4,
    maxConcurrent: 1,
    process: (group, signal) => {
      groups.push(group.map(({ item }) => item));
      return process(group, signal);
    },
  });
  return { queue, groups };
}

const double = (group: ReadonlyArray<Gathered<number, number>>) => {
  for (const each of group) each.resolve(each.item * 2);
  return Promise.resolve();
};

test('what is asked for at once is done together, in order', async () => {
  const { queue, groups } = setUp(double);
  await expect(Promise.all([1, 2, 3].map((item) => queue.add(item, never)))).resolves.toEqual([2, 4, 6]);
  expect(groups).toEqual([[1, 2, 3]]);
});

test('a group stays within weight and count, unless one item alone is too heavy', async () => {
  const { queue, groups } = setUp(double);
  await Promise.all([4, 5, 6, 99, 1, 1, 1, 1, 1].map((item) => queue.add(item, never)));
  expect(groups).toEqual([[4, 5], [6], [99], [1, 1, 1, 1], [1]]);
});

test('what comes while a group is under way goes into the next', async () => {
  const gate = new Deferred<void>();
  const { queue, groups } = setUp(async (group) => {
    await gate.promise;
    await double(group);
  });
  const first = queue.add(1, never);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  const rest = [queue.add(2, never), queue.add(3, never)];
  gate.resolve();
  await Promise.all([first, ...rest]);
  expect(groups).toEqual([[1], [2, 3]]);
});

test('a failure of the whole goes to every item that was not settled', async () => {
  const { queue } = setUp((group) => {
    group[0]?.resolve(7);
    return Promise.reject(new Error('the line is dead'));
  });
  const [first, second] = await Promise.allSettled([queue.add(1, never), queue.add(2, never)]);
  expect(first).toMatchObject({ value: 7 });
  expect(second).toMatchObject({ reason: new Error('the line is dead') });
});

test('the work is aborted when all who wait have given up, and not before', async () => {
  const started = new Deferred<AbortSignal>();
  const { queue } = setUp((_group, signal) => {
    started.resolve(signal);
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  });
  const [a, b] = [new AbortController(), new AbortController()];
  const outcomes = Promise.allSettled([queue.add(1, a.signal), queue.add(2, b.signal)]);
  const signal = await started.promise;
  a.abort('a');
  expect(signal.aborted).toBe(false);
  b.abort('b');
  expect(signal.aborted).toBe(true);
  expect(await outcomes).toMatchObject([{ reason: 'a' }, { reason: 'b' }]);
});

test('an item whose signal is aborted before its turn is left out', async () => {
  const { queue, groups } = setUp(double);
  const controller = new AbortController();
  const outcomes = Promise.allSettled([queue.add(1, controller.signal), queue.add(2, never)]);
  controller.abort('enough');
  expect(await outcomes).toMatchObject([{ reason: 'enough' }, { value: 4 }]);
  expect(groups).toEqual([[2]]);
});

test('a caller that goes while the weight is found out takes nobody with it', async () => {
  const asked: AbortSignal[] = [];
  const queue = new GatheringQueue<number, number>({
    weigh: (item) => item,
    maxWeight: (signal) => {
      asked.push(signal);
      if (asked.length > 1) return Promise.resolve(10);
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    },
    maxCount: 4,
    maxConcurrent: 1,
    process: double,
  });
  const going = new AbortController();
  const [first, second] = [queue.add(1, going.signal), queue.add(2, never)];
  await expect.poll(() => asked.length).toBe(1);
  going.abort(new Error('gone'));
  await expect(first).rejects.toThrow('gone');
  await expect(second).resolves.toBe(4);
});
