import { expect, test } from 'vitest';
import { TestGrid } from '../../test/support/test-grid.ts';
import { parseOperationName } from '../domain/operation.ts';

const signal = new AbortController().signal;
const GRACE_MS = 10_000;

test('a job whose message was lost is offered again, and no client hangs', async () => {
  const grid = await new TestGrid({ settings: { unservedGrace: GRACE_MS, abandonAfter: 600_000 } }).start();
  const client = grid.execute(await grid.uploadAction());
  await grid.settle();
  const job = await grid.jobs.getByOperation(parseOperationName(client.name)?.id ?? '', signal);
  // As a purge does.
  grid.broker.withdrawWork({ instanceName: 'main', requirement: job?.requirement ?? never() }, job?.id ?? '');
  const bot = grid.bot('bot-1', { deadline: 60_000 });
  const created = bot.create();
  await grid.settle();
  expect(bot.leases).toEqual([]);
  await grid.clock.advance(2 * GRACE_MS + 2_000);
  await created;
  expect(bot.leases).toHaveLength(1);
  client.disconnect();
  await grid.stop();
});

function never(): never {
  throw new Error('there is no job');
}
