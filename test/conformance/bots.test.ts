import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ExecuteOperationMetadata } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import {
  BotStatus,
  BotsService,
  CreateBotSessionRequest,
  LeaseState,
  PostBotEventTempRequest,
  UpdateBotSessionRequest,
} from '../../src/proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { CancelOperationRequest, OperationsService } from '../../src/proto/google/longrunning/operations.ts';
import { active, completed, SHORT_POLL } from '../support/simulated-bot.ts';
import { type ExecutionStream, Stage } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect, Platform } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;

/** Actions that wait on a platform of their own. */
async function queue(platform: Platform, count: number): Promise<ExecutionStream[]> {
  const executions: ExecutionStream[] = [];
  for (let i = 0; i < count; i++) {
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    await execution.until(Stage.QUEUED);
    executions.push(execution);
  }
  return executions;
}

describe('Bots.CreateBotSession', () => {
  it('gives the session a name below its parent and a time to expire, and keeps what the bot said', async () => {
    const bot = new Platform(tenant).bot();
    const session = await bot.create();
    expect(session.name.startsWith(tenant.resource(''))).toBe(true);
    expect(session.name.length).toBeGreaterThan(instanceName.length + 1);
    expect(session.botId).toBe(bot.botId);
    expect(Number(session.expireTime?.seconds)).toBeGreaterThan(Date.now() / 1_000);
  });

  it('an empty bot_id gives INVALID_ARGUMENT', async () => {
    const bot = new Platform(tenant).bot({ botId: '' });
    const error = await failure(bot.create());
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('bot_id');
  });

  it('without a bot session gives INVALID_ARGUMENT', async () => {
    const request = CreateBotSessionRequest.create({ parent: instanceName });
    expect((await failure(client.unary(BotsService.createBotSession, request))).code).toBe('INVALID_ARGUMENT');
  });

  it('of an instance that is not served gives INVALID_ARGUMENT', async () => {
    const bot = new Platform(tenant).bot({ parent: `no-such-${randomUUID()}` });
    expect((await failure(bot.create())).code).toBe('INVALID_ARGUMENT');
  });

  it('may bring a lease already, PENDING and with the action packed', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    expect(lease.state).toBe(LeaseState.PENDING);
    expect(lease.payload?.typeUrl).toMatch(/\/build\.bazel\.remote\.execution\.v2\.(Action|Digest)$/);
    await bot.complete(lease);
    await execution?.finish();
  });

  it('ends older sessions of the same bot_id: an update on them is rejected', async () => {
    const platform = new Platform(tenant);
    const old = platform.bot();
    await old.create();
    const young = platform.bot({ botId: old.botId });
    await young.create();
    expect(['INVALID_ARGUMENT', 'DATA_LOSS', 'NOT_FOUND']).toContain((await failure(old.update([]))).code);
    expect((await young.update([])).name).toBe(young.name);
  });

  it('returns the leases of the older session to the queue', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const old = platform.bot();
    const lost = await old.nextLease();
    const young = platform.bot({ botId: old.botId });
    const lease = await young.nextLease();
    expect(lease.payload).toEqual(lost.payload);
    await young.complete(lease, { exitCode: 6 });
    expect((await execution?.finish())?.result?.exitCode).toBe(6);
  });
});

describe('Bots.UpdateBotSession: the session', () => {
  it('an unknown name is rejected', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    const name = `${instanceName}/${randomUUID()}`;
    const request = UpdateBotSessionRequest.create({
      name,
      botSession: { name, botId: bot.botId, status: BotStatus.OK },
    });
    const { code } = await failure(client.unary(BotsService.updateBotSession, request));
    expect(['INVALID_ARGUMENT', 'NOT_FOUND']).toContain(code);
  });

  it('a name that differs from that of the session gives INVALID_ARGUMENT', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    expect((await failure(bot.update([], { name: `${instanceName}/${randomUUID()}` }))).code).toBe('INVALID_ARGUMENT');
  });

  it('a bot_id that differs from that of the session is rejected', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    expect((await failure(bot.update([], { botId: `other-${randomUUID()}` }))).code).toBe('INVALID_ARGUMENT');
  });

  it('without a bot session gives INVALID_ARGUMENT', async () => {
    const request = UpdateBotSessionRequest.create({ name: `${instanceName}/${randomUUID()}` });
    expect((await failure(client.unary(BotsService.updateBotSession, request))).code).toBe('INVALID_ARGUMENT');
  });

  it('an update_mask is taken', async () => {
    const bot = new Platform(tenant).bot();
    const { name } = await bot.create();
    const request = UpdateBotSessionRequest.create({
      name,
      botSession: { name, botId: bot.botId, status: BotStatus.UNHEALTHY },
      updateMask: ['status', 'leases'],
    });
    expect((await client.unary(BotsService.updateBotSession, request)).name).toBe(name);
  });

  it('expire_time moves on with every update', async () => {
    const bot = new Platform(tenant).bot();
    const first = (await bot.create()).expireTime;
    const second = (await bot.update([])).expireTime;
    const micros = (time: typeof first) => Number(time?.seconds ?? 0n) * 1e6 + (time?.nanos ?? 0) / 1e3;
    expect(micros(second)).toBeGreaterThanOrEqual(micros(first));
  });

  it('a poll is answered before its deadline, with nothing, when there is no work', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    expect((await bot.update([], {}, { deadline: 5_000 })).leases).toEqual([]);
  });

  it('a poll that waits is answered as soon as there is work', async () => {
    const platform = new Platform(tenant);
    const bot = platform.bot();
    await bot.create();
    const { action } = await platform.prepare();
    const poll = bot.update([], {}, { deadline: 30_000 });
    const execution = tenant.execute(action.digest);
    const [lease] = (await poll).leases;
    expect(lease?.state).toBe(LeaseState.PENDING);
    if (lease !== undefined) await bot.complete(lease);
    await execution.finish();
  });

  it('a bot that went away in mid-poll loses no work', async () => {
    const platform = new Platform(tenant);
    const bot = platform.bot();
    await bot.create();
    const gone = new AbortController();
    const poll = failure(bot.update([], {}, { deadline: 30_000, signal: gone.signal }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    gone.abort();
    expect((await poll).code).toBe('CANCELLED');
    const [execution] = await queue(platform, 1);
    await bot.serveOne({ exitCode: 1 });
    expect((await execution?.finish())?.result?.exitCode).toBe(1);
  });

  choice('a second poll of one session ends the first with ABORTED', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    const first = failure(bot.update([], {}, { deadline: 30_000 }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await bot.update([]);
    expect((await first).code).toBe('ABORTED');
  });

  for (const status of ['UNHEALTHY', 'HOST_REBOOTING', 'BOT_TERMINATING', 'INITIALIZING'] as const) {
    it(`a bot that is ${status} gets no lease, and an answer at once`, async () => {
      const platform = new Platform(tenant);
      const [execution] = await queue(platform, 1);
      const bot = platform.bot();
      expect((await bot.create({ status: BotStatus[status] }, SHORT_POLL)).leases).toEqual([]);
      expect((await bot.update([], { status: BotStatus[status] }, SHORT_POLL)).leases).toEqual([]);
      await Promise.all([bot.serveOne(), execution?.finish()]);
    });
  }

  it('a bot that is BOT_TERMINATING keeps and completes its lease', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const { leases } = await bot.update([active(lease)], { status: BotStatus.BOT_TERMINATING });
    expect(leases.map((each) => each.id)).toEqual([lease.id]);
    await bot.update([completed(lease, { exitCode: 2 })], { status: BotStatus.BOT_TERMINATING });
    expect((await execution?.finish())?.result?.exitCode).toBe(2);
  });
});

describe('Bots.UpdateBotSession: leases', () => {
  it('a lease that is reported in the same state is kept', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    for (let i = 0; i < 3; i++) {
      const { leases } = await bot.update([active(lease)]);
      expect(leases.map((each) => [each.id, each.state])).toEqual([[lease.id, LeaseState.ACTIVE]]);
    }
    await bot.complete(lease);
    await execution?.finish();
  });

  it('a lease may be completed that was never reported ACTIVE', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    await bot.complete(await bot.nextLease(), { exitCode: 11 });
    expect((await execution?.finish())?.result?.exitCode).toBe(11);
  });

  it('a lease that is done is gone from the answer', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    expect((await bot.complete(lease)).leases).toEqual([]);
    await execution?.finish();
  });

  it('a lease that is reported as done twice is ignored the second time', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    await bot.complete(lease, { exitCode: 1 });
    expect((await bot.complete(lease, { exitCode: 2 })).leases).toEqual([]);
    expect((await execution?.finish())?.result?.exitCode).toBe(1);
  });

  it('a lease done that nobody gave is ignored', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    const foreign = { id: randomUUID(), payload: undefined, state: LeaseState.COMPLETED } as never;
    expect((await bot.update([completed(foreign)])).leases).toEqual([]);
  });

  it('a lease that nobody gave is gone from the answer', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    const foreign = completed({ id: randomUUID() } as never);
    expect((await bot.update([{ ...foreign, state: LeaseState.ACTIVE, result: undefined }])).leases).toEqual([]);
  });

  it('the lease of another bot is gone from the answer, and its owner completes it', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const owner = platform.bot();
    const lease = await owner.nextLease();
    const thief = platform.bot();
    await thief.create({ status: BotStatus.UNHEALTHY });
    expect((await thief.update([active(lease)], { status: BotStatus.UNHEALTHY })).leases).toEqual([]);
    await thief.update([completed(lease, { exitCode: 66 })], { status: BotStatus.UNHEALTHY });
    await owner.complete(lease, { exitCode: 1 });
    expect((await execution?.finish())?.result?.exitCode).toBe(1);
  });

  it('a lease whose answer was lost is sent again', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const again = (await bot.update([])).leases;
    expect(again.map((each) => each.id)).toEqual([lease.id]);
    await bot.complete(lease, { exitCode: 4 });
    expect((await execution?.finish())?.result?.exitCode).toBe(4);
  });

  it('a lease that was cancelled is dropped from the answer, or comes back CANCELLED', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    await bot.update([active(lease)]);
    const name = (await execution?.name()) ?? '';
    await client.unary(OperationsService.cancelOperation, CancelOperationRequest.create({ name }));
    const { leases } = await bot.update([active(lease)]);
    expect(leases.filter((each) => each.state !== LeaseState.CANCELLED)).toEqual([]);
    await execution?.finish();
  });

  choice('a lease that the bot reports CANCELLED is dropped, never echoed', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const name = (await execution?.name()) ?? '';
    await client.unary(OperationsService.cancelOperation, CancelOperationRequest.create({ name }));
    const { leases } = await bot.update([{ ...lease, state: LeaseState.CANCELLED }]);
    expect(leases).toEqual([]);
    await execution?.finish();
  });

  choice('a lease in a state that does not exist is refused by the fault of the bot, and its job goes on', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const outcome = await bot.update([{ ...lease, state: 3 as never }]).then(
      (session) => session.leases.map((each) => each.id).join(),
      async (error: unknown) => (await failure(Promise.reject(error))).code,
    );
    expect([lease.id, 'INVALID_ARGUMENT', 'DATA_LOSS']).toContain(outcome);
    const next = platform.bot({ botId: bot.botId });
    await next.serveOne({ exitCode: 5 });
    expect((await execution?.finish())?.result?.exitCode).toBe(5);
  });

  it('work that could not be run for a fault of the machinery is given to a bot again', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const first = await bot.nextLease();
    await bot.complete(first, {}, { code: 14, message: 'disk on fire' });
    const second = await bot.nextLease();
    expect(second.payload).toEqual(first.payload);
    await bot.complete(second, { exitCode: 3 });
    expect((await execution?.finish())?.result?.exitCode).toBe(3);
  });

  it('work that can never be run is not tried for ever', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const client = { done: false };
    const finished = execution?.finish().finally(() => {
      client.done = true;
    });
    let tries = 0;
    while (!client.done && tries < 50) {
      const { leases } =
        bot.session === undefined ? await bot.create({}, SHORT_POLL) : await bot.update([], {}, SHORT_POLL);
      for (const lease of leases) {
        tries += 1;
        await bot.complete(lease, {}, { code: 13, message: 'broken' });
      }
    }
    const response = await finished;
    expect(tries).toBeLessThan(50);
    expect(response?.status?.code).not.toBe(0);
  });

  it('a result that is no ActionResult counts as an empty one, or gives the work to a bot again', async () => {
    const platform = new Platform(tenant);
    const [execution] = await queue(platform, 1);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const strange = {
      ...completed(lease),
      result: { typeUrl: 'type.googleapis.com/no.Such', value: Buffer.from('x') },
    };
    await bot.update([strange]);
    const { leases } = await bot.update([], {}, SHORT_POLL);
    for (const each of leases) await bot.complete(each);
    expect((await execution?.finish())?.result?.outputFiles ?? []).toEqual([]);
  });
});

describe('Bots: capacity', () => {
  it('a bot that says nothing gets one lease at a time', async () => {
    const platform = new Platform(tenant);
    const executions = await queue(platform, 2);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    expect(bot.session?.leases).toHaveLength(1);
    expect((await bot.update([active(lease)], {}, SHORT_POLL)).leases.map((each) => each.id)).toEqual([lease.id]);
    await bot.complete(lease);
    await bot.serveOne();
    await Promise.all(executions.map((each) => each.finish()));
  });

  it('worker.configs capacity allows that many', async () => {
    const platform = new Platform(tenant);
    const executions = await queue(platform, 4);
    const bot = platform.bot({ capacity: 3 });
    let leases = (await bot.create({}, { deadline: 10_000 })).leases;
    for (let i = 0; i < 5 && leases.length < 3; i++)
      leases = (await bot.update(leases.map(active), {}, SHORT_POLL)).leases;
    expect(leases).toHaveLength(3);
    expect((await bot.update(leases.map(active), {}, SHORT_POLL)).leases).toHaveLength(3);
    await bot.update(leases.map((each) => completed(each)));
    await bot.serveOne();
    await Promise.all(executions.map((each) => each.finish()));
  });

  it('leases are completed one by one while others run', async () => {
    const platform = new Platform(tenant);
    const executions = await queue(platform, 2);
    const bot = platform.bot({ capacity: 2 });
    let leases = (await bot.create({}, { deadline: 10_000 })).leases;
    for (let i = 0; i < 5 && leases.length < 2; i++)
      leases = (await bot.update(leases.map(active), {}, SHORT_POLL)).leases;
    const [one, two] = leases;
    if (one === undefined || two === undefined) throw new Error('two leases were expected');
    const rest = (await bot.update([completed(one), active(two)])).leases;
    expect(rest.map((each) => each.id)).toEqual([two.id]);
    await bot.complete(two);
    await Promise.all(executions.map((each) => each.finish()));
  });
});

describe('Bots: metadata', () => {
  choice('the trailer executeoperationmetadata-bin tells of every lease', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const { trailers } = await bot.updateWithTrailers([active(lease)]);
    const values = trailers.get('executeoperationmetadata-bin') as Buffer[];
    expect(values.map((each) => ExecuteOperationMetadata.decode(each).actionDigest)).toEqual([action.digest]);
    await bot.complete(lease);
    await execution.finish();
  });
});

describe('Bots.PostBotEventTemp', () => {
  it('is answered with OK or UNIMPLEMENTED, never worse', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    const request = PostBotEventTempRequest.create({ name: bot.name, type: 1, msg: 'hello' });
    const outcome = await client.unary(BotsService.postBotEventTemp, request).then(
      () => 'OK',
      async (error: unknown) => (await failure(Promise.reject(error))).code,
    );
    expect(['OK', 'UNIMPLEMENTED']).toContain(outcome);
  });
});
