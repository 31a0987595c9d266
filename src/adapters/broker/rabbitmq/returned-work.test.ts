import type { ConsumeMessage } from 'amqplib';
import { expect, test } from 'vitest';
import { workMessage } from '../../../../test/support/rabbitmq-farm.ts';
import { encodeWork } from './messages.ts';
import { RETURNED_EXCHANGE, WORK_EXCHANGE, workQueueName } from './names.ts';
import { readReturnedWork } from './returned-work.ts';

const work = workMessage('main', 'job-1', { OSFamily: 'linux' });
const own = workQueueName(work);
const other = workQueueName(workMessage('main', '', { OSFamily: 'macos' }));

function returned(...deaths: readonly unknown[]): ConsumeMessage {
  return { content: encodeWork(work), properties: { headers: { 'x-death': deaths } } } as unknown as ConsumeMessage;
}

function death(changes: object = {}): object {
  return { queue: own, reason: 'expired', exchange: WORK_EXCHANGE, 'routing-keys': [own], count: 1, ...changes };
}

test.each([
  ['expired', 'expired'],
  ['maxlen', 'overflow'],
  ['rejected', 'misplaced'],
  ['delivery_limit', 'too-often'],
])('what the broker calls %s is %s', (reason, why) => {
  expect(readReturnedWork(returned(death({ reason })))).toEqual({ work, why, isCopy: false });
});

test('the last queue that gave it up counts', () => {
  const earlier = death({ reason: 'maxlen', queue: other });
  expect(readReturnedWork(returned(death(), earlier))).toEqual({ work, why: 'expired', isCopy: false });
});

test.each([
  ['by a binding into another queue', { queue: other }, true],
  ['by hand into another queue', { queue: other, 'routing-keys': [other] }, false],
  ['by a shovel into another queue', { queue: other, exchange: '', 'routing-keys': [other] }, false],
  ['by another exchange', { queue: other, exchange: RETURNED_EXCHANGE }, false],
])('what came %s: is it a copy?', (_how, changes, isCopy) => {
  expect(readReturnedWork(returned(death(changes)))?.isCopy).toBe(isCopy);
});

test.each([[[]], [['expired']], [[{ reason: 'expired' }]], [[death({ 'routing-keys': 7 })]]])(
  'a header that no broker writes is not believed: %j',
  (deaths) => {
    expect(readReturnedWork(returned(...deaths))).toEqual({ work, why: 'misplaced', isCopy: false });
  },
);

test('a body that is none of ours says nothing', () => {
  expect(readReturnedWork({ content: Buffer.from('{}'), properties: {} } as ConsumeMessage)).toBeUndefined();
});
