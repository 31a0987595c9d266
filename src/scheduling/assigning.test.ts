import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { TestGrid } from '../../test/support/test-grid.ts';
import { StatusCode } from '../domain/status-code.ts';
import { unavailable } from '../domain/status-error.ts';

let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  vi.restoreAllMocks();
  await grid.stop();
});

const AWAY = unavailable('away', 1_000);

// A message in hand that is neither acknowledged nor given back would keep its job from everybody.
test.each(['drains', 'changeLeases'] as const)(
  'work that comes to a bot while %s of the store fails goes to another',
  async (call) => {
    const first = grid.bot('bot-1');
    const failed = first.create().catch((cause: unknown) => cause);
    await grid.settle();
    const failing = vi.spyOn(grid.sessions, call).mockRejectedValue(AWAY);
    const client = grid.execute(await grid.uploadAction());
    await grid.settle();
    expect(await failed).toMatchObject({ code: StatusCode.UNAVAILABLE });
    failing.mockRestore();
    const second = grid.bot('bot-2');
    await second.create();
    expect(second.leases).toHaveLength(1);
    client.disconnect();
  },
);

test('work whose lease could not be written goes to another', async () => {
  const first = grid.bot('bot-1');
  const failed = first.create().catch((cause: unknown) => cause);
  await grid.settle();
  const failing = vi
    .spyOn(grid.jobs, 'apply')
    .mockImplementation((_jobId, { type }) => (type === 'lease' ? Promise.reject(AWAY) : Promise.resolve(undefined)));
  const client = grid.execute(await grid.uploadAction());
  await grid.settle();
  expect(await failed).toMatchObject({ code: StatusCode.UNAVAILABLE });
  failing.mockRestore();
  const second = grid.bot('bot-2');
  await second.create();
  expect(second.leases).toHaveLength(1);
  client.disconnect();
});
