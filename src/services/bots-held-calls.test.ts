import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { busyBot } from '../../test/support/busy-bot.ts';
import { AT_ONCE } from '../../test/support/call-context.ts';
import { TestGrid } from '../../test/support/test-grid.ts';
import { StatusCode } from '../domain/status-code.ts';

const signal = new AbortController().signal;
let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  await grid.stop();
});

describe('UpdateBotSession: held calls', () => {
  test('a second call ends the first with ABORTED, and gets the work', async () => {
    const bot = grid.bot('bot-1', { deadline: 1_000 });
    await bot.create();
    const long = { remainingMilliseconds: () => 30_000 };
    const first = bot.update(long);
    const failure = first.catch((cause: unknown) => cause);
    await grid.settle();
    const second = bot.update(long);
    expect(await failure).toMatchObject({ code: StatusCode.ABORTED });
    grid.execute(await grid.uploadAction());
    expect((await second).leases).toHaveLength(1);
  });

  test('a call at another replica ends the one before with ABORTED, and none that is younger', async () => {
    const other = await new TestGrid({ shared: grid, replicaId: 'replica-2' }).start();
    const bot = grid.bot('bot-1', { deadline: 1_000 });
    await bot.create();
    const long = { remainingMilliseconds: () => 30_000 };
    const failure = bot.update(long).catch((cause: unknown) => cause);
    await grid.settle();
    const waiting = bot.at(other).update(long);
    expect(await failure).toMatchObject({ code: StatusCode.ABORTED });
    // Late word of a call that was over before.
    grid.broker.publishUpdate(['replica-2'], {
      kind: 'poll-superseded',
      botSessionName: bot.session.name,
      pollId: 'long-gone',
    });
    await grid.settle();
    grid.execute(await grid.uploadAction());
    expect((await waiting).leases).toHaveLength(1);
    await other.stop();
  });

  test('a call that another has taken the place of ends also where nobody tells', async () => {
    const other = await new TestGrid({ shared: grid, replicaId: 'replica-2' }).start();
    vi.spyOn(grid.broker, 'publishUpdate').mockImplementation(() => {});
    const bot = grid.bot('bot-1', { deadline: 1_000 });
    await bot.create();
    const long = { remainingMilliseconds: () => 100_000 };
    const failure = bot.update(long).catch((cause: unknown) => cause);
    await grid.settle();
    const waiting = bot.at(other).update(long);
    await grid.clock.advance(grid.scheduler.settings.leaseTime);
    expect(await failure).toMatchObject({ code: StatusCode.ABORTED });
    grid.execute(await grid.uploadAction());
    expect((await waiting).leases).toHaveLength(1);
    await other.stop();
  });

  test('a call that is held for longer than the lease time keeps the session and its leases', async () => {
    const { bot, id } = await busyBot(grid);
    const roomy = grid.bot('bot-1', { capacity: 2, deadline: 300_000 });
    roomy.session = bot.session;
    roomy.leases = bot.leases;
    const polled = roomy.update();
    await grid.clock.advance(239_000);
    expect((await grid.sessions.list('main', 10, undefined, signal)).map((each) => each.leaseIds)).toEqual([[id]]);
    await grid.clock.advance(2_000);
    await polled;
    expect(roomy.leases.map((each) => each.id)).toEqual([id]);
    expect(Number(roomy.session.expireTime?.seconds)).toBeGreaterThan(grid.clock.now() / 1_000 + 30);
  });

  test('a bot that hangs up takes no work with it', async () => {
    const bot = grid.bot('bot-1');
    const gone = new AbortController();
    const created = bot.create({ signal: gone.signal }).catch((cause: unknown) => cause);
    await grid.settle();
    gone.abort();
    await created;
    grid.execute(await grid.uploadAction());
    await grid.settle();
    expect((await grid.jobs.count(signal)).queued).toBe(1);
  });

  test.each([
    [undefined, 48_000],
    [2_999, 0],
    [1e18, 240_000],
  ])('a call with a deadline of %s ms is held for %i ms', async (deadline, held) => {
    const bot = grid.bot('bot-1', { deadline: 1_000 });
    await bot.create();
    let answered = false;
    const polled = bot.update({ remainingMilliseconds: () => deadline }).then(() => {
      answered = true;
    });
    await grid.clock.advance(Math.max(held - 10, 0));
    const early = answered;
    await grid.clock.advance(20);
    await polled;
    expect([early, answered]).toEqual([held === 0, true]);
  });

  test('a call that is too short to be held is given no work', async () => {
    grid.execute(await grid.uploadAction());
    await grid.settle();
    const bot = grid.bot('bot-1', { deadline: 2_000 });
    await bot.create();
    expect(bot.leases).toHaveLength(0);
  });

  test('a waiting call ends with UNAVAILABLE and RetryInfo when the replica drains', async () => {
    const draining = new AbortController();
    const bot = grid.bot('bot-1', { deadline: 1_000 });
    await bot.create();
    const polled = bot
      .update({ draining: draining.signal, remainingMilliseconds: () => 30_000 })
      .catch((cause: unknown) => cause);
    await grid.settle();
    draining.abort();
    expect(await polled).toMatchObject({ code: StatusCode.UNAVAILABLE, details: [{ kind: 'retry-info' }] });
    await bot.update(AT_ONCE);
  });
});
