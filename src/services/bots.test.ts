import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { type BotWish, type TestBot, TestGrid } from '../../test/support/test-grid.ts';
import type { Job } from '../domain/job.ts';
import { parseLeaseId } from '../domain/lease.ts';
import { StatusCode } from '../domain/status-code.ts';
import { ExecuteOperationMetadata } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { BotStatus, LeaseState } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { packAny } from '../wire/any.ts';

const signal = new AbortController().signal;
let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  await grid.stop();
});

/** A bot with a lease on a new job, whose client goes on streaming. */
async function busyBot(argument = 'it', botId = 'bot-1') {
  const client = grid.execute(await grid.uploadAction({ argument }));
  await grid.settle();
  const bot = grid.bot(botId);
  await bot.create();
  const id = bot.leases[0]?.id ?? '';
  return { client, bot, id, jobId: parseLeaseId(id)?.jobId ?? '' };
}

async function jobOf(jobId: string): Promise<Job> {
  const job = await grid.jobs.get(jobId, signal);
  if (job === undefined) throw new Error(`there is no job ${jobId}`);
  return job;
}

/** A call that the server must not hold. */
const AT_ONCE = { remainingMilliseconds: () => 1_000 };

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
    const { bot, jobId } = await busyBot();
    const old = bot.session.name;
    bot.leases = [];
    bot.session = { ...bot.session, name: '' };
    await bot.create();
    const job = await jobOf(jobId);
    expect(job.attempts).toBe(2);
    expect(job.failedAttempts).toMatchObject([{ attempt: 1, botId: 'bot-1' }]);
    expect(bot.leases[0]?.id).toBe(`${jobId}.2`);
    const stale = grid.bot('bot-1');
    stale.session = { ...bot.session, name: old };
    await expect(stale.update()).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    expect((await bot.update(AT_ONCE)).leases).toHaveLength(1);
  });
});

describe('UpdateBotSession: reconciliation', () => {
  test('an active lease is echoed at once, and renewed', async () => {
    const { bot, id, jobId } = await busyBot();
    bot.activate();
    const before = await jobOf(jobId);
    await grid.clock.advance(5_000);
    await bot.update();
    expect(bot.leases).toMatchObject([{ id, state: LeaseState.ACTIVE }]);
    const after = await jobOf(jobId);
    expect(after.lease?.expiresAt).toBeGreaterThan(before.lease?.expiresAt ?? 0);
    expect(after.state).toBe('executing');
  });

  test('a completed lease is dropped from the answer, which brings the next job', async () => {
    const { bot, id, client } = await busyBot();
    grid.execute(await grid.uploadAction({ argument: 'next' }));
    await grid.settle();
    bot.complete(id, { exitCode: 0 });
    await bot.update();
    await client.done;
    expect(bot.leases).toHaveLength(1);
    expect(bot.leases[0]?.id).not.toBe(id);
  });

  test('a completed lease without further work is answered at once', async () => {
    const { bot, id } = await busyBot();
    bot.complete(id, { exitCode: 0 });
    await bot.update();
    expect(bot.leases).toHaveLength(0);
  });

  test('with assignOnCompletion off a completion brings no new work', async () => {
    const careful = await new TestGrid({ shared: grid, settings: { assignOnCompletion: false } }).start();
    const { bot, id } = await busyBot();
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
    const { bot, id, client } = await busyBot();
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
    const { bot, id } = await busyBot();
    bot.leases = [];
    await bot.update();
    expect(bot.leases).toMatchObject([{ id, state: LeaseState.PENDING }]);
  });

  test('a lease that is none of ours is dropped, whatever it says', async () => {
    const { bot, id } = await busyBot();
    for (const state of [LeaseState.ACTIVE, LeaseState.COMPLETED, LeaseState.CANCELLED]) {
      bot.leases = [{ ...(bot.leases[0] as (typeof bot.leases)[0]), id: 'rubbish', state }];
      await bot.update(AT_ONCE);
      expect(bot.leases.map((each) => each.id)).toEqual([id]);
    }
  });

  test("another bot's lease cannot be completed, nor one that never was", async () => {
    const { id, jobId, client } = await busyBot();
    const thief = grid.bot('thief', { deadline: 1_000 });
    await thief.create();
    const [lease] = (await busyBot('other', 'bot-2')).bot.leases;
    for (const stolen of [id, `${jobId}.7`]) {
      thief.leases = [{ ...(lease as NonNullable<typeof lease>), id: stolen }];
      thief.complete(stolen, { exitCode: 0 });
      await thief.update();
    }
    expect((await jobOf(jobId)).state).toBe('leased');
    expect(client.ended).toBe(false);
  });

  test('a cancelled job is left out of the answer, and a lease that a bot reports CANCELLED is never echoed', async () => {
    const { bot, client } = await busyBot();
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
    const { bot, jobId } = await busyBot();
    bot.leases = bot.leases.map((each) => ({ ...each, state: LeaseState.CANCELLED }));
    await bot.update(AT_ONCE);
    expect(await jobOf(jobId)).toMatchObject({ state: 'queued', attempts: 1 });
  });

  test.each([0, 3, 99])('lease state %i is refused before anything changes, and the session stays', async (state) => {
    const { bot, id } = await busyBot();
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
    const { bot, id, client } = await busyBot();
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
    const { bot } = await busyBot();
    const other = grid.bot('bot-2');
    other.session = bot.session;
    await expect(other.update()).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    await bot.update(AT_ONCE);
    expect(bot.leases).toHaveLength(1);
  });

  test('name and bot_session.name must agree', async () => {
    const { bot } = await busyBot();
    const request = { name: 'main/other', botSession: bot.message() };
    await expect(grid.bots.updateBotSession(request, callContext())).rejects.toThrow('bot_session.name');
  });

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

  test('a call that is held for longer than the lease time keeps the session and its leases', async () => {
    const { bot, id } = await busyBot();
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
    const { bot, jobId } = await busyBot();
    bot.leases = [];
    bot.status = BotStatus.BOT_TERMINATING;
    await bot.update();
    expect((await jobOf(jobId)).state).toBe('queued');
  });

  test('a drained bot finishes what it has, gets nothing new, and is held rather than sent round', async () => {
    const { bot, id, client } = await busyBot();
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

describe('attempts', () => {
  test('a lost worker gives its work to another, and comes back without it', async () => {
    const { bot, id, jobId, client } = await busyBot();
    await grid.clock.advance(61_500);
    expect((await jobOf(jobId)).state).toBe('queued');
    const other = grid.bot('bot-2');
    await other.create();
    expect(other.leases[0]?.id).toBe(`${jobId}.2`);
    expect(client.stageNames.slice(-2)).toEqual(['QUEUED', 'EXECUTING']);
    bot.leases = bot.leases.map((each) => ({ ...each, id }));
    await grid.clock.advance(30_000);
    await expect(bot.update(AT_ONCE)).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
  });

  test('the work of a bot that is lost in a held call goes to another within the lease time and 2 s', async () => {
    const { bot, jobId } = await busyBot();
    const roomy = grid.bot('bot-1', { capacity: 2, deadline: 300_000 });
    roomy.session = bot.session;
    roomy.leases = bot.leases;
    const gone = new AbortController();
    const polled = roomy.update({ signal: gone.signal }).catch((cause: unknown) => cause);
    await grid.clock.advance(100_000);
    gone.abort();
    await polled;
    expect((await jobOf(jobId)).attempts).toBe(1);
    await grid.clock.advance(62_000);
    await grid.bot('bot-2').create();
    expect((await jobOf(jobId)).lease).toMatchObject({ botId: 'bot-2', attempt: 2 });
  });

  test('a good result of an older attempt completes the job, and the younger attempt stops', async () => {
    const { bot, id, jobId, client } = await busyBot();
    await grid.clock.advance(61_500);
    const other = grid.bot('bot-2');
    await other.create();
    bot.complete(id, { exitCode: 0 });
    bot.session = { ...bot.session, name: '' };
    const late = bot.leases;
    bot.leases = [];
    await bot.create(AT_ONCE);
    bot.leases = late;
    await bot.update(AT_ONCE);
    await client.done;
    expect(client.response.status?.code).toBe(0);
    expect((await jobOf(jobId)).state).toBe('completed');
    other.activate();
    await other.update(AT_ONCE);
    expect(other.leases).toHaveLength(0);
  });

  test.each([
    StatusCode.INTERNAL,
    StatusCode.UNAVAILABLE,
    StatusCode.UNKNOWN,
    StatusCode.ABORTED,
    StatusCode.CANCELLED,
  ])('status %i of a lease is another try, until they are used up: then ABORTED, and a dead letter', async (code) => {
    const { bot, client } = await busyBot();
    for (let attempt = 1; attempt <= 5; attempt++) {
      expect(bot.leases[0]?.id).toMatch(new RegExp(`\\.${attempt}$`));
      bot.complete(bot.leases[0]?.id ?? '', undefined, { code, message: 'the disk is broken' });
      await bot.update();
    }
    await client.done;
    expect(client.response.status).toMatchObject({ code: StatusCode.ABORTED });
    expect(client.response.status?.message).toContain('the disk is broken');
    expect(grid.broker.deadLetters()).toHaveLength(1);
    expect(bot.leases).toHaveLength(0);
  });

  test.each([
    ['no result', undefined],
    ['a result that is no ActionResult', packAny('google.protobuf.Duration', new Uint8Array([8, 1]))],
    ['a result that cannot be read', packAny('build.bazel.remote.execution.v2.ActionResult', new Uint8Array([255]))],
  ])('success with %s is another try', async (_what, result) => {
    const { bot, id, jobId } = await busyBot();
    bot.leases = bot.leases.map((each) => ({ ...each, state: LeaseState.COMPLETED, result }));
    await bot.update();
    expect((await jobOf(jobId)).failedAttempts).toHaveLength(1);
    expect(bot.leases[0]?.id).not.toBe(id);
  });

  test('success that names outputs which nobody stored is another try', async () => {
    const { bot, id, jobId } = await busyBot();
    const outputFiles = [{ path: 'a', digest: { hash: 'a'.repeat(64), sizeBytes: 1n } }] as never;
    bot.complete(id, { exitCode: 0, outputFiles });
    await bot.update(AT_ONCE);
    expect((await jobOf(jobId)).failedAttempts[0]?.reason).toContain('not stored');
  });

  test('a status about the action goes to every client as it is, details and all', async () => {
    const { bot, client } = await busyBot();
    const second = grid.execute(await grid.uploadAction());
    await grid.settle();
    const details = [
      packAny('google.rpc.PreconditionFailure', new Uint8Array([10, 9, 10, 7, 77, 73, 83, 83, 73, 78, 71])),
    ];
    bot.leases = bot.leases.map((each) => ({
      ...each,
      state: LeaseState.COMPLETED,
      status: { code: StatusCode.FAILED_PRECONDITION, message: 'inputs are missing', details },
    }));
    await bot.update(AT_ONCE);
    await Promise.all([client.done, second.done]);
    for (const { response } of [client, second]) {
      expect(response.status).toMatchObject({
        code: StatusCode.FAILED_PRECONDITION,
        message: 'inputs are missing',
        details,
      });
    }
  });

  test('an action that times out at the worker keeps its outputs, and is not cached', async () => {
    const { bot, id, client, jobId } = await busyBot();
    const action = (await jobOf(jobId)).actionDigest;
    bot.complete(
      id,
      { exitCode: 0, stdoutRaw: Buffer.from('so far') },
      { code: StatusCode.DEADLINE_EXCEEDED, message: 'too slow' },
    );
    await bot.update(AT_ONCE);
    await client.done;
    expect(client.response.status?.code).toBe(StatusCode.DEADLINE_EXCEEDED);
    expect(client.response.result?.stdoutRaw.toString()).toBe('so far');
    const again = grid.execute({ ...(await grid.uploadAction()), hash: action.hash });
    await grid.settle();
    expect(again.stageNames).toContain('QUEUED');
  });

  test('a job that outlasts timeout and margin ends with DEADLINE_EXCEEDED, and its bot stops', async () => {
    const client = grid.execute(await grid.uploadAction({ timeoutSeconds: 10 }));
    await grid.settle();
    const bot = grid.bot('bot-1');
    await bot.create();
    for (let i = 0; i < 11; i++) {
      await grid.clock.advance(30_000);
      if (bot.leases.length === 0) break;
      bot.activate();
      await bot.update(AT_ONCE);
    }
    expect(client.response.status?.code).toBe(StatusCode.DEADLINE_EXCEEDED);
    expect(bot.leases).toHaveLength(0);
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
