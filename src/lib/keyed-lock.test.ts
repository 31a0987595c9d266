import { expect, test } from 'vitest';
import { Deferred } from './deferred.ts';
import { KeyedLock } from './keyed-lock.ts';

test('tasks of one key run one after the other, also after a failure; others do not wait', async () => {
  const lock = new KeyedLock();
  const gate = new Deferred<void>();
  const seen: string[] = [];
  const first = lock.run('a', async () => {
    await gate.promise;
    seen.push('first');
    throw new Error('failed');
  });
  const second = lock.run('a', async () => {
    seen.push('second');
    return 2;
  });
  await lock.run('b', async () => {
    seen.push('other');
  });
  gate.resolve();
  await expect(first).rejects.toThrow('failed');
  expect(await second).toBe(2);
  expect(seen).toEqual(['other', 'first', 'second']);
});
