import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { FakeClock } from '../../../lib/fake-clock.ts';
import type { ReplicaUpdate } from '../../../ports/broker.ts';
import { MOST_UPDATES_TOGETHER, UpdateOutbox } from './update-outbox.ts';

const PATIENCE = 20;

function setUp() {
  const clock = new FakeClock();
  const sent: Array<readonly [to: string, versions: readonly number[]]> = [];
  const outbox = new UpdateOutbox({
    clock,
    send: (replicaIds, updates) => {
      sent.push([replicaIds.join(), updates.map((each) => (each.kind === 'job-changed' ? each.version : 0))]);
    },
  });
  return { clock, sent, outbox };
}

function changed(job: number, version = job): ReplicaUpdate {
  return { kind: 'job-changed', jobId: `job-${job}`, version };
}

test('what is urgent leaves with the turn, and takes along what waits for the same replicas', async () => {
  const { outbox, sent } = setUp();
  outbox.add(['one'], changed(1), PATIENCE);
  outbox.add(['two'], changed(2), PATIENCE);
  outbox.add(['one'], changed(3), 0);
  outbox.add(['one'], changed(4), 0);
  expect(sent).toEqual([]);
  await nextTurn();
  expect(sent).toEqual([['one', [1, 3, 4]]]);
});

test('what has patience leaves when that is over, with what has come since', async () => {
  const { clock, outbox, sent } = setUp();
  outbox.add(['one', 'two'], changed(1), PATIENCE);
  await clock.advance(PATIENCE - 1);
  outbox.add(['one', 'two'], changed(2), PATIENCE);
  expect(sent).toEqual([]);
  await clock.advance(1);
  expect(sent).toEqual([['one,two', [1, 2]]]);
  await clock.advance(PATIENCE);
  expect(sent).toHaveLength(1);
});

test('of two updates on one job the younger goes', async () => {
  const { outbox, sent } = setUp();
  outbox.add(['one'], changed(1, 2), PATIENCE);
  outbox.add(['one'], changed(1, 3), 0);
  await nextTurn();
  expect(sent).toEqual([['one', [3]]]);
});

test('no message grows without bound', () => {
  const { outbox, sent } = setUp();
  for (let job = 0; job <= MOST_UPDATES_TOGETHER; job++) outbox.add(['one'], changed(job), PATIENCE);
  expect(sent.map(([, versions]) => versions.length)).toEqual([MOST_UPDATES_TOGETHER]);
});

test('nothing waits once it is flushed, and nothing goes twice', async () => {
  const { clock, outbox, sent } = setUp();
  outbox.add(['one'], changed(1), PATIENCE);
  outbox.add(['two'], changed(2), 0);
  outbox.flush();
  await nextTurn();
  await clock.advance(PATIENCE);
  expect(sent).toEqual([
    ['one', [1]],
    ['two', [2]],
  ]);
});
