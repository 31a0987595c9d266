import { afterEach, expect, test, vi } from 'vitest';
import { AT_ONCE } from '../../test/support/call-context.ts';
import { type TestBot, TestGrid } from '../../test/support/test-grid.ts';
import { DEFAULT_SCHEDULING_SETTINGS } from './settings.ts';

/** How long clients wait at most for what goes wrong, as docs/operating-faults.md has it, on the test's clock. */

const { leaseTime, sweepInterval, unservedGrace, watchRefreshInterval } = DEFAULT_SCHEDULING_SETTINGS;

const STEP_MS = 250;

let grids: TestGrid[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  for (const grid of grids.splice(0).reverse()) await grid.stop();
  grids = [];
});

async function start(shared?: TestGrid): Promise<TestGrid> {
  const grid = await new TestGrid(shared === undefined ? {} : { shared, replicaId: 'replica-2' }).start();
  grids.push(grid);
  return grid;
}

/** Moves the clock until it is so. @returns the milliseconds that it took, on that clock. */
async function timeUntil({ clock }: TestGrid, isSo: () => boolean): Promise<number> {
  const begun = clock.now();
  while (!isSo()) {
    if (clock.now() - begun > 600_000) throw new Error('ten minutes were not enough');
    await clock.advance(STEP_MS);
  }
  return clock.now() - begun;
}

/** Polls for as long as it has nothing. */
async function pollUntilLease(bot: TestBot): Promise<void> {
  await bot.create();
  while (bot.leases.length === 0) await bot.update();
}

test('work whose message is lost is offered again within the grace for unserved work, and a sweep', async () => {
  const grid = await start();
  // As a queue that is purged: the broker has taken the work, and holds none of it.
  vi.spyOn(grid.broker, 'offerWork').mockResolvedValueOnce();
  const client = grid.execute(await grid.uploadAction());
  const bot = grid.bot('bot-1');
  void pollUntilLease(bot);
  expect(await timeUntil(grid, () => bot.leases.length > 0)).toBeLessThanOrEqual(unservedGrace + sweepInterval);
  client.disconnect();
});

test("a lost worker's action runs again within the lease time and 2 seconds", async () => {
  const grid = await start();
  const client = grid.execute(await grid.uploadAction());
  const lost = grid.bot('lost');
  await lost.create();
  lost.activate();
  await lost.update(AT_ONCE);
  const bot = grid.bot('bot-2');
  void pollUntilLease(bot);
  const milliseconds = await timeUntil(grid, () => bot.leases.length > 0);
  expect(milliseconds).toBeLessThanOrEqual(leaseTime + 2_000);
  expect(milliseconds).toBeGreaterThan(leaseTime - STEP_MS);
  client.disconnect();
});

test('a client hears of the end 10 seconds late at most where the message of it was lost, and a sweep', async () => {
  const grid = await start();
  const other = await start(grid);
  const client = grid.execute(await grid.uploadAction());
  await grid.clock.advance(1_250);
  const bot = other.bot('bot-1');
  await bot.create();
  vi.spyOn(grid.broker, 'publishUpdate').mockImplementation(() => {});
  bot.complete(bot.leases[0]?.id ?? '', { exitCode: 3 });
  await bot.update(AT_ONCE);
  expect(await timeUntil(grid, () => client.ended)).toBeLessThanOrEqual(watchRefreshInterval + sweepInterval);
  expect(client.response.result?.exitCode).toBe(3);
});
