import { expect, test } from 'vitest';
import { AsyncQueue } from './async-queue.ts';

test('gives items in order, to a consumer that waits and to one that comes late', async () => {
  const queue = new AsyncQueue<number>();
  const first = queue.next();
  queue.push(1);
  queue.push(2);
  queue.end();
  queue.push(3);
  expect(await first).toEqual({ done: false, value: 1 });
  const rest: number[] = [];
  for await (const item of queue) rest.push(item);
  expect(rest).toEqual([2]);
});

test('delivers what waits before it fails', async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  queue.fail(new Error('broken'));
  expect(await queue.next()).toEqual({ done: false, value: 1 });
  await expect(queue.next()).rejects.toThrow('broken');
});

test('a consumer that leaves ends it', async () => {
  const queue = new AsyncQueue<number>();
  queue.push(1);
  queue.push(2);
  for await (const item of queue) if (item === 1) break;
  expect(await queue.next()).toEqual({ done: true, value: undefined });
});
