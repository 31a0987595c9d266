import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { busyBot, jobOf } from '../../test/support/busy-bot.ts';
import { AT_ONCE } from '../../test/support/call-context.ts';
import { TestGrid } from '../../test/support/test-grid.ts';
import { StatusCode } from '../domain/status-code.ts';
import { LeaseState } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { packAny } from '../wire/any.ts';

let grid: TestGrid;

beforeEach(async () => {
  grid = await new TestGrid().start();
});

afterEach(async () => {
  await grid.stop();
});

describe('attempts', () => {
  test('a lost worker gives its work to another, and comes back without it', async () => {
    const { bot, id, jobId, client } = await busyBot(grid);
    await grid.clock.advance(61_500);
    expect((await jobOf(grid, jobId)).state).toBe('queued');
    const other = grid.bot('bot-2');
    await other.create();
    expect(other.leases[0]?.id).toBe(`${jobId}.2`);
    await grid.clock.advance(100);
    expect(client.stageNames.slice(-2)).toEqual(['QUEUED', 'EXECUTING']);
    bot.leases = bot.leases.map((each) => ({ ...each, id }));
    await grid.clock.advance(30_000);
    await expect(bot.update(AT_ONCE)).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
  });

  test('the work of a bot that is lost in a held call goes to another within the lease time and 2 s', async () => {
    const { bot, jobId } = await busyBot(grid);
    const roomy = grid.bot('bot-1', { capacity: 2, deadline: 300_000 });
    roomy.session = bot.session;
    roomy.leases = bot.leases;
    const gone = new AbortController();
    const polled = roomy.update({ signal: gone.signal }).catch((cause: unknown) => cause);
    await grid.clock.advance(100_000);
    gone.abort();
    await polled;
    expect((await jobOf(grid, jobId)).attempts).toBe(1);
    await grid.clock.advance(62_000);
    await grid.bot('bot-2').create();
    expect((await jobOf(grid, jobId)).lease).toMatchObject({ botId: 'bot-2', attempt: 2 });
  });

  test('a good result of an older attempt completes the job, and the younger attempt stops', async () => {
    const { bot, id, jobId, client } = await busyBot(grid);
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
    expect((await jobOf(grid, jobId)).state).toBe('completed');
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
    const { bot, client } = await busyBot(grid);
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
    const { bot, id, jobId } = await busyBot(grid);
    bot.leases = bot.leases.map((each) => ({ ...each, state: LeaseState.COMPLETED, result }));
    await bot.update();
    expect((await jobOf(grid, jobId)).failedAttempts).toHaveLength(1);
    expect(bot.leases[0]?.id).not.toBe(id);
  });

  test('success that names outputs which nobody stored is another try', async () => {
    const { bot, id, jobId } = await busyBot(grid);
    const outputFiles = [{ path: 'a', digest: { hash: 'a'.repeat(64), sizeBytes: 1n } }] as never;
    bot.complete(id, { exitCode: 0, outputFiles });
    await bot.update(AT_ONCE);
    expect((await jobOf(grid, jobId)).failedAttempts[0]?.reason).toContain('not stored');
  });

  test('a status about the action goes to every client as it is, details and all', async () => {
    const { bot, client } = await busyBot(grid);
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
    const { bot, id, client, jobId } = await busyBot(grid);
    const action = (await jobOf(grid, jobId)).actionDigest;
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

  test.each([
    ['its timeout', { timeoutSeconds: 10 }, 310],
    ['the longest one, having named none,', {}, 7_500],
  ])(
    'a job that outlasts %s and the margin ends with DEADLINE_EXCEEDED, and its bot stops',
    async (_, wish, seconds) => {
      const client = grid.execute(await grid.uploadAction(wish));
      await grid.settle();
      const bot = grid.bot('bot-1');
      await bot.create();
      for (let i = 0; i < seconds / 30; i++) {
        await grid.clock.advance(30_000);
        if (bot.leases.length === 0) break;
        bot.activate();
        await bot.update(AT_ONCE);
      }
      expect(client.response.status?.code).toBe(StatusCode.DEADLINE_EXCEEDED);
      expect(bot.leases).toHaveLength(0);
    },
  );
});
