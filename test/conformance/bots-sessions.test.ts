import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { BotStatus } from '../../src/proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { active, completed, SHORT_POLL } from '../support/simulated-bot.ts';
import { Stage } from '../support/tenant.ts';
import { choice, connect, Platform } from './target.ts';

const tenant = connect();

describe('BotSession: whose a field is', () => {
  it('the name of a session is the server’s, whatever the bot calls it', async () => {
    const name = tenant.resource(`mine-${randomUUID()}`);
    const bot = new Platform(tenant).bot();
    const session = await bot.create({ name }).catch(() => undefined);
    expect(session?.name).not.toBe(name);
  });

  it('sessions of one bot_id have names of their own', async () => {
    const platform = new Platform(tenant);
    const first = platform.bot();
    const second = platform.bot({ botId: first.botId });
    expect((await first.create()).name).not.toBe((await second.create()).name);
  });

  choice('a bot that does not tell its status gets no lease', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    await execution.until(Stage.QUEUED);
    const bot = platform.bot();
    expect((await bot.create({ status: BotStatus.BOT_STATUS_UNSPECIFIED }, SHORT_POLL)).leases).toEqual([]);
    await Promise.all([bot.serveOne(), execution.finish()]);
  });

  it('a property of the worker as a whole counts as one of its device', async () => {
    const platform = new Platform(tenant);
    const [key, value] = platform.property;
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    const bot = platform.bot();
    const worker = { properties: [{ key, value }], devices: [{ handle: 'primary', properties: [] }] };
    const [lease] = (await bot.create({ worker }, { deadline: 10_000 })).leases;
    expect(lease).toBeDefined();
    if (lease !== undefined) await bot.update([completed(lease, { exitCode: 5 })], { worker });
    expect((await execution.finish()).result?.exitCode).toBe(5);
  });
});

describe('Lease: what a server sends', () => {
  it('the result that a bot brings is not echoed', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const { result } = completed(lease, { exitCode: 1 });
    const { leases } = await bot.update([{ ...active(lease), result }]);
    expect(leases.map((each) => [each.id, each.result])).toEqual([[lease.id, undefined]]);
    await Promise.all([bot.complete(lease), execution.finish()]);
  });

  choice('the leases of one session have ids of their own, and the most urgent come first', async () => {
    const platform = new Platform(tenant);
    const executions = [];
    for (const priority of [5, -5, 0]) {
      const { action } = await platform.prepare();
      const execution = tenant.execute(action.digest, { executionPolicy: { priority } });
      await execution.until(Stage.QUEUED);
      executions.push({ execution, priority });
    }
    const bot = platform.bot({ capacity: 3 });
    let { leases } = await bot.create({}, { deadline: 10_000 });
    for (let i = 0; i < 5 && leases.length < 3; i++)
      leases = (await bot.update(leases.map(active), {}, SHORT_POLL)).leases;
    expect(new Set(leases.map((each) => each.id)).size).toBe(3);
    await bot.update(leases.map((each, place) => completed(each, { exitCode: place })));
    const places = new Map<number, number | undefined>();
    for (const { execution, priority } of executions) places.set(priority, (await execution.finish()).result?.exitCode);
    expect([places.get(-5), places.get(0), places.get(5)]).toEqual([0, 1, 2]);
  });
});
