import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { busyBot, jobOf } from '../../test/support/busy-bot.ts';
import { AT_ONCE, callContext } from '../../test/support/call-context.ts';
import { TestGrid } from '../../test/support/test-grid.ts';
import { StatusCode } from '../domain/status-code.ts';
import { LeaseState } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';

const signal = new AbortController().signal;
let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  await grid.stop();
});

describe('UpdateBotSession: reconciliation', () => {
  test('an active lease is echoed at once, and renewed', async () => {
    const { bot, id, jobId } = await busyBot(grid);
    bot.activate();
    const before = await jobOf(grid, jobId);
    await grid.clock.advance(5_000);
    await bot.update();
    expect(bot.leases).toMatchObject([{ id, state: LeaseState.ACTIVE }]);
    const after = await jobOf(grid, jobId);
    expect(after.lease?.expiresAt).toBeGreaterThan(before.lease?.expiresAt ?? 0);
    expect(after.state).toBe('executing');
  });

  test('a completed lease is dropped from the answer, which brings the next job', async () => {
    const { bot, id, client } = await busyBot(grid);
    grid.execute(await grid.uploadAction({ argument: 'next' }));
    await grid.settle();
    bot.complete(id, { exitCode: 0 });
    await bot.update();
    await client.done;
    expect(bot.leases).toHaveLength(1);
    expect(bot.leases[0]?.id).not.toBe(id);
  });

  test('a completed lease without further work is answered at once', async () => {
    const { bot, id } = await busyBot(grid);
    bot.complete(id, { exitCode: 0 });
    await bot.update();
    expect(bot.leases).toHaveLength(0);
  });

  test('with assignOnCompletion off a completion brings no new work', async () => {
    const careful = await new TestGrid({ shared: grid, settings: { assignOnCompletion: false } }).start();
    const { bot, id } = await busyBot(grid);
    grid.execute(await grid.uploadAction({ argument: 'next' }));
    await grid.settle();
    bot.complete(id, { exitCode: 0 });
    const moved = bot.at(careful);
    await moved.update();
    expect(moved.leases).toHaveLength(0);
    await moved.update();
    expect(moved.leases).toHaveLength(1);
    await careful.stop();
  });

  test('a completion reported twice counts once, and is no error', async () => {
    const { bot, id, client } = await busyBot(grid);
    bot.complete(id, { exitCode: 0 });
    const reported = bot.leases;
    await bot.update(AT_ONCE);
    bot.leases = reported;
    await bot.update(AT_ONCE);
    await client.done;
    expect(bot.leases).toHaveLength(0);
    expect(client.stageNames.filter((each) => each === 'COMPLETED')).toHaveLength(1);
  });

  test('a lease whose answer was lost is sent again, and at once', async () => {
    const { bot, id } = await busyBot(grid);
    bot.leases = [];
    await bot.update();
    expect(bot.leases).toMatchObject([{ id, state: LeaseState.PENDING }]);
  });

  test('a lease that is none of ours is dropped, whatever it says', async () => {
    const { bot, id } = await busyBot(grid);
    for (const state of [LeaseState.ACTIVE, LeaseState.COMPLETED, LeaseState.CANCELLED]) {
      bot.leases = [{ ...(bot.leases[0] as (typeof bot.leases)[0]), id: 'rubbish', state }];
      await bot.update(AT_ONCE);
      expect(bot.leases.map((each) => each.id)).toEqual([id]);
    }
  });

  test("another bot's lease cannot be completed, nor one that never was", async () => {
    const { id, jobId, client } = await busyBot(grid);
    const thief = grid.bot('thief', { deadline: 1_000 });
    await thief.create();
    const [lease] = (await busyBot(grid, 'other', 'bot-2')).bot.leases;
    for (const stolen of [id, `${jobId}.7`]) {
      thief.leases = [{ ...(lease as NonNullable<typeof lease>), id: stolen }];
      thief.complete(stolen, { exitCode: 0 });
      await thief.update();
    }
    expect((await jobOf(grid, jobId)).state).toBe('leased');
    expect(client.ended).toBe(false);
  });

  test('a cancelled job is left out of the answer, and a lease that a bot reports CANCELLED is never echoed', async () => {
    const { bot, client } = await busyBot(grid);
    await grid.operations.cancelOperation({ name: client.name }, callContext());
    const cancelled = bot.leases.map((each) => ({ ...each, state: LeaseState.CANCELLED }));
    bot.activate();
    await bot.update(AT_ONCE);
    expect(bot.leases).toHaveLength(0);
    bot.leases = cancelled;
    await bot.update(AT_ONCE);
    expect(bot.leases).toHaveLength(0);
    expect(client.response.status?.code).toBe(StatusCode.CANCELLED);
  });

  test('a lease that the bot itself cancels goes to another, attempt counted', async () => {
    const { bot, jobId } = await busyBot(grid);
    bot.leases = bot.leases.map((each) => ({ ...each, state: LeaseState.CANCELLED }));
    await bot.update(AT_ONCE);
    expect(await jobOf(grid, jobId)).toMatchObject({ state: 'queued', attempts: 1 });
  });

  test.each([0, 3, 99])('lease state %i is refused before anything changes, and the session stays', async (state) => {
    const { bot, id } = await busyBot(grid);
    const good = bot.leases;
    bot.leases = good.map((each) => ({ ...each, state: state as LeaseState }));
    await expect(bot.update()).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    bot.leases = good;
    await bot.update(AT_ONCE);
    expect(bot.leases.map((each) => each.id)).toEqual([id]);
  });

  test('a lease that ends while a bot with room is held is told at once', async () => {
    const client = grid.execute(await grid.uploadAction());
    await grid.settle();
    const bot = grid.bot('bot-1', { capacity: 2 });
    await bot.create();
    bot.activate();
    let answered = false;
    const polled = bot.update().then(() => {
      answered = true;
    });
    await grid.clock.advance(5_000);
    expect(answered).toBe(false);
    await grid.operations.cancelOperation({ name: client.name }, callContext());
    await grid.settle();
    await polled;
    expect(bot.leases).toHaveLength(0);
  });

  test('a lease that ends while a bot with room is held is told in a third of the lease time, though word of it was lost', async () => {
    const client = grid.execute(await grid.uploadAction());
    await grid.settle();
    const bot = grid.bot('bot-1', { capacity: 2, deadline: 300_000 });
    await bot.create();
    bot.activate();
    const polled = bot.update();
    await grid.clock.advance(1_000);
    // Another replica cancels, and nobody hears of it.
    const [jobId = ''] = (bot.leases[0]?.id ?? '').split('.');
    await grid.jobs.apply(jobId, { type: 'cancel', reason: 'enough' }, signal);
    await grid.clock.advance(21_000);
    await polled;
    expect(bot.leases).toEqual([]);
    client.disconnect();
  });

  test('a replica that did not give the lease, nor make the session, serves the bot as well', async () => {
    const { bot, id, client } = await busyBot(grid);
    const other = await new TestGrid({ shared: grid, replicaId: 'replica-2' }).start();
    const moved = bot.at(other);
    moved.activate();
    await moved.update(AT_ONCE);
    expect(moved.leases.map((each) => each.id)).toEqual([id]);
    moved.complete(id, { exitCode: 0 });
    await moved.update(AT_ONCE);
    await grid.settle();
    await client.done;
    expect(client.response.status?.code).toBe(0);
    await other.stop();
  });
});
