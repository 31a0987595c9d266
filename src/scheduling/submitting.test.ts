import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { TestGrid } from '../../test/support/test-grid.ts';
import { StatusCode } from '../domain/status-code.ts';
import { unavailable } from '../domain/status-error.ts';
import { CarrierAwayError } from '../ports/broker.ts';

let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await grid.stop();
});

test('an action that comes while the broker is away waits for it', async () => {
  vi.spyOn(grid.broker, 'offerWork').mockRejectedValue(new CarrierAwayError('away', 1_000));
  const client = grid.execute(await grid.uploadAction());
  await grid.clock.advance(20_000);
  expect(client.ended).toBe(false);
  expect(client.stageNames).toEqual(['QUEUED']);
  client.disconnect();
});

test('an action that comes while the broker takes nothing is refused, and leaves nothing behind', async () => {
  vi.spyOn(grid.broker, 'offerWork').mockRejectedValue(unavailable('blocked', 1_000));
  const client = grid.execute(await grid.uploadAction());
  await grid.settle();
  expect(client.failure).toMatchObject({ code: StatusCode.UNAVAILABLE, details: [{ kind: 'retry-info' }] });
  expect(await grid.jobs.count(new AbortController().signal)).toMatchObject({ queued: 0, leased: 0 });
});

test('the clients of a job whose bot was lost hear of it though the broker is away', async () => {
  const client = grid.execute(await grid.uploadAction());
  await grid.settle();
  const bot = grid.bot('bot-1');
  await bot.create();
  await grid.settle();
  vi.spyOn(grid.broker, 'offerWork').mockRejectedValue(new CarrierAwayError('away', 1_000));
  await grid.clock.advance(62_000);
  expect(client.stageNames.slice(-2)).toEqual(['EXECUTING', 'QUEUED']);
  client.disconnect();
});

test('a client that joins a job while the last other one leaves is not forgotten', async () => {
  const action = await grid.uploadAction();
  const leaving = grid.execute(action);
  await grid.settle();
  const submit = grid.jobs.submit.bind(grid.jobs);
  vi.spyOn(grid.jobs, 'submit').mockImplementation(async (submission, signal) => {
    const submitted = await submit(submission, signal);
    leaving.disconnect();
    await grid.settle();
    return submitted;
  });
  const staying = grid.execute(action);
  await grid.settle();
  // Longer than an abandoned job goes on, and less than it takes until watches are refreshed.
  await grid.clock.advance(8_000);
  expect(staying.stageNames).toEqual(['QUEUED']);
  staying.disconnect();
});
