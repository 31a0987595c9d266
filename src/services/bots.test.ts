import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { busyBot, jobOf } from '../../test/support/busy-bot.ts';
import { AT_ONCE, callContext } from '../../test/support/call-context.ts';
import { type BotWish, type TestBot, TestGrid } from '../../test/support/test-grid.ts';
import { StatusCode } from '../domain/status-code.ts';
import { ExecuteOperationMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { BotStatus, LeaseState } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';

const signal = new AbortController().signal;
let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  await grid.stop();
});

describe('CreateBotSession', () => {
  test('is a long poll, held for 0.8 of the deadline', async () => {
    const bot = grid.bot('bot-1', { deadline: 30_000 });
    let answered = false;
    const created = bot.create().then(() => {
      answered = true;
    });
    await grid.clock.advance(23_900);
    expect(answered).toBe(false);
    await grid.clock.advance(200);
    await created;
    expect(bot.session.name).toMatch(/^main\/[0-9a-f-]{36}$/);
    expect(bot.session.botId).toBe('bot-1');
  });

  test('without a deadline is held for a part of the default one', async () => {
    const bot = grid.bot('bot-1');
    let answered = false;
    const created = bot.create({ remainingMilliseconds: () => undefined }).then(() => {
      answered = true;
    });
    await grid.clock.advance(47_900);
    expect(answered).toBe(false);
    await grid.clock.advance(200);
    await created;
  });

  test('its answer brings a lease that comes meanwhile, PENDING and with the Action itself', async () => {
    const bot = grid.bot('bot-1');
    const created = bot.create();
    await grid.settle();
    grid.execute(await grid.uploadAction());
    await created;
    expect(bot.leases).toMatchObject([
      { state: LeaseState.PENDING, payload: { typeUrl: 'type.googleapis.com/build.bazel.remote.execution.v2.Action' } },
    ]);
    const trailer = bot.trailers.find(([name]) => name === 'executeoperationmetadata-bin')?.[1];
    expect(ExecuteOperationMetadata.decode(trailer as Uint8Array).actionDigest?.hash).toHaveLength(64);
  });

  test.each([
    ['a bot without an id', { botId: '' }, 'bot_session.bot_id'],
    ['an instance that is not served', { parent: 'nowhere' }, 'parent'],
    ['a capacity that is no number', { capacity: -1 }, 'capacity'],
  ])('%s is refused', async (_what, changes, field) => {
    const { botId = 'bot-1', ...wish }: BotWish & { readonly botId?: string } = changes;
    const bot = grid.bot(botId, wish);
    await expect(bot.create()).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    await expect(bot.create()).rejects.toThrow(field);
  });

  test('a bot that begins anew loses its leases, attempt counted, and its old session', async () => {
    const { bot, jobId } = await busyBot(grid);
    const old = bot.session.name;
    bot.leases = [];
    bot.session = { ...bot.session, name: '' };
    await bot.create();
    const job = await jobOf(grid, jobId);
    expect(job.attempts).toBe(2);
    expect(job.failedAttempts).toMatchObject([{ attempt: 1, botId: 'bot-1' }]);
    expect(bot.leases[0]?.id).toBe(`${jobId}.2`);
    const stale = grid.bot('bot-1');
    stale.session = { ...bot.session, name: old };
    await expect(stale.update()).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    expect((await bot.update(AT_ONCE)).leases).toHaveLength(1);
  });
});

describe('a bot with many slots', () => {
  /** What its answer takes of the 8 KiB of trailers that clients allow. */
  const trailerBytes = (bot: TestBot) =>
    bot.trailers.reduce((sum, [name, value]) => sum + name.length + Math.ceil(value.length / 3) * 4 + 32, 0);

  test('is told of its leases in answers whose trailers every client takes', async () => {
    const jobs = 30;
    for (let i = 0; i < jobs; i++) grid.execute(await grid.uploadAction({ argument: `${i}` }));
    await grid.settle();
    const bot = grid.bot('bot-1', { capacity: 64 });
    let told = new Set<string>();
    await bot.create();
    for (let calls = 1; bot.leases.length < jobs; calls++) {
      expect(calls).toBeLessThan(6);
      const fresh = bot.leases.filter(({ id }) => !told.has(id)).length;
      expect(fresh).toBeGreaterThan(0);
      expect(bot.trailers.length).toBeGreaterThanOrEqual(fresh);
      expect(trailerBytes(bot)).toBeLessThan(7_000);
      told = new Set(bot.leases.map(({ id }) => id));
      bot.activate();
      await bot.update();
    }
    bot.activate();
    await bot.update(AT_ONCE);
    expect(bot.leases).toHaveLength(jobs);
    expect(trailerBytes(bot)).toBeLessThan(7_000);
  });
});

describe('UpdateBotSession: sessions', () => {
  test('an unknown session is INVALID_ARGUMENT, an expired one DATA_LOSS', async () => {
    const bot = grid.bot('bot-1', { deadline: 1_000 });
    bot.session = { ...bot.session, name: 'main/no-such-session' };
    await expect(bot.update()).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    await bot.create();
    await grid.clock.advance(62_000);
    await expect(bot.update()).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
  });

  test('a session name that another bot uses is refused, and stays with its owner', async () => {
    const { bot } = await busyBot(grid);
    const other = grid.bot('bot-2');
    other.session = bot.session;
    await expect(other.update()).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    await bot.update(AT_ONCE);
    expect(bot.leases).toHaveLength(1);
  });

  test('name and bot_session.name must agree', async () => {
    const { bot } = await busyBot(grid);
    const request = { name: 'main/other', botSession: bot.message() };
    await expect(grid.bots.updateBotSession(request, callContext())).rejects.toThrow('bot_session.name');
  });

  test.each([
    BotStatus.BOT_STATUS_UNSPECIFIED,
    BotStatus.UNHEALTHY,
    BotStatus.HOST_REBOOTING,
    BotStatus.BOT_TERMINATING,
    BotStatus.INITIALIZING,
  ])('a bot of status %i gets nothing and is answered at once', async (status) => {
    grid.execute(await grid.uploadAction());
    await grid.settle();
    const bot = grid.bot('bot-1');
    bot.status = status;
    await bot.create();
    expect(bot.leases).toHaveLength(0);
    expect(bot.session.status).toBe(status);
  });

  test('the session of a bot that has said farewell soon ends', async () => {
    const bot = grid.bot('bot-1', { deadline: 1_000 });
    await bot.create();
    bot.status = BotStatus.BOT_TERMINATING;
    await bot.update();
    await grid.clock.advance(6_500);
    expect(await grid.sessions.list('main', 10, undefined, signal)).toEqual([]);
  });

  test('a bot that ends gives back a lease that it never heard of', async () => {
    const { bot, jobId } = await busyBot(grid);
    bot.leases = [];
    bot.status = BotStatus.BOT_TERMINATING;
    await bot.update();
    expect((await jobOf(grid, jobId)).state).toBe('queued');
  });

  test('a drained bot finishes what it has, gets nothing new, and is held rather than sent round', async () => {
    const { bot, id, client } = await busyBot(grid);
    await grid.sessions.addDrain({ pattern: 'bot-*', comment: '' }, signal);
    grid.execute(await grid.uploadAction({ argument: 'next' }));
    await grid.settle();
    bot.complete(id, { exitCode: 0 });
    await bot.update();
    await client.done;
    expect(bot.leases).toHaveLength(0);
    const polled = bot.update();
    await grid.clock.advance(24_100);
    expect((await polled).leases).toHaveLength(0);
    await grid.sessions.removeDrain('bot-*', signal);
    await bot.update();
    expect(bot.leases).toHaveLength(1);
  });

  test('a bot that waits when it is drained gets nothing either', async () => {
    const bot = grid.bot('bot-1');
    const created = bot.create();
    await grid.settle();
    await grid.sessions.addDrain({ pattern: '*', comment: '' }, signal);
    grid.execute(await grid.uploadAction());
    await created;
    expect(bot.leases).toHaveLength(0);
    expect((await grid.jobs.count(signal)).queued).toBe(1);
  });

  test('a bot with several slots fills them in one call, and never beyond', async () => {
    for (const argument of ['1', '2', '3', '4']) grid.execute(await grid.uploadAction({ argument }));
    await grid.settle();
    const bot = grid.bot('bot-1', { capacity: 3 });
    await bot.create();
    expect(bot.leases).toHaveLength(3);
    bot.activate();
    await bot.update();
    expect(bot.leases).toHaveLength(3);
  });
});

test('PostBotEventTemp is taken from a session that is known, and from no other', async () => {
  const bot: TestBot = grid.bot('bot-1', { deadline: 1_000 });
  await bot.create();
  const event = { type: 2, msg: 'the disk is full' } as const;
  await expect(grid.bots.postBotEventTemp({ ...event, name: bot.session.name }, callContext())).resolves.toEqual({});
  await expect(grid.bots.postBotEventTemp({ ...event, name: 'main/x' }, callContext())).rejects.toMatchObject({
    code: StatusCode.INVALID_ARGUMENT,
  });
});
