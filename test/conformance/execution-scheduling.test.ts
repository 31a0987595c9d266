import { describe, expect, it } from 'vitest';
import { Action } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { leasedAction, SHORT_POLL } from '../support/simulated-bot.ts';
import { blobOf, prepareAction, Stage } from '../support/tenant.ts';
import { choice, connect, Platform } from './target.ts';

const tenant = connect();

describe('Execution.Execute: requests for one action', () => {
  choice('are merged while it runs: one lease, and every client gets the result', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot({ capacity: 4 });
    const first = tenant.execute(action.digest);
    await first.until(Stage.QUEUED);
    const second = tenant.execute(action.digest);
    await second.next();
    const lease = await bot.nextLease();
    const third = tenant.execute(action.digest);
    await third.next();
    expect((await bot.update([lease], {}, SHORT_POLL)).leases.map((each) => each.id)).toEqual([lease.id]);
    await bot.complete(lease, { exitCode: 3 });
    const responses = await Promise.all([first.finish(), second.finish(), third.finish()]);
    expect(responses.map((each) => each.result?.exitCode)).toEqual([3, 3, 3]);
  });

  choice('have each an Operation of their own', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const [first, second] = [tenant.execute(action.digest), tenant.execute(action.digest)];
    expect(await first.name()).not.toBe(await second.name());
    first.cancel();
    second.cancel();
  });

  it('are not merged with do_not_cache: each runs', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare({ action: { doNotCache: true } });
    const bot = platform.bot();
    const [first, second] = [tenant.execute(action.digest), tenant.execute(action.digest)];
    await Promise.all([first.next(), second.next()]);
    const one = await bot.serveOne({ exitCode: 1 });
    const two = await bot.serveOne({ exitCode: 2 });
    expect(one.id).not.toBe(two.id);
    const codes = await Promise.all([first.finish(), second.finish()]);
    expect(new Set(codes.map((each) => each.result?.exitCode))).toEqual(new Set([1, 2]));
  });

  choice('are merged with skip_cache_lookup too', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const first = tenant.execute(action.digest, { skipCacheLookup: true });
    await first.next();
    const second = tenant.execute(action.digest, { skipCacheLookup: true });
    await second.next();
    await bot.serveOne({ exitCode: 0 });
    await Promise.all([first.finish(), second.finish()]);
    expect((await bot.update([], {}, SHORT_POLL)).leases).toEqual([]);
  });
});

describe('ExecutionPolicy.priority', () => {
  choice('of those that wait, the lower value runs first, and equal ones in the order of their coming', async () => {
    const platform = new Platform(tenant);
    const bot = platform.bot();
    await bot.create({ status: 2 });
    const byAction = new Map<string, string>();
    const executions = [];
    for (const [label, priority] of [
      ['normal-1', 0],
      ['late', 100],
      ['normal-2', 0],
      ['urgent', -100],
    ] as const) {
      const { action } = await platform.prepare();
      byAction.set(action.digest.hash, label);
      const execution = tenant.execute(action.digest, { executionPolicy: { priority } });
      await execution.until(Stage.QUEUED);
      executions.push(execution);
    }
    const order: Array<string | undefined> = [];
    for (let i = 0; i < executions.length; i++) {
      const lease = await bot.nextLease();
      order.push(byAction.get(leasedAction(lease).hash));
      await bot.complete(lease);
    }
    expect(order).toEqual(['urgent', 'normal-1', 'normal-2', 'late']);
    await Promise.all(executions.map((each) => each.finish()));
  });

  choice('a more urgent request for an action that waits already raises it', async () => {
    const platform = new Platform(tenant);
    const bot = platform.bot();
    await bot.create({ status: 2 });
    const [slow, other] = [await platform.prepare(), await platform.prepare()];
    const executions = [
      tenant.execute(slow.action.digest, { executionPolicy: { priority: 50 } }),
      tenant.execute(other.action.digest, { executionPolicy: { priority: 0 } }),
    ];
    for (const each of executions) await each.until(Stage.QUEUED);
    const joiner = tenant.execute(slow.action.digest, { executionPolicy: { priority: -50 } });
    await joiner.next();
    const lease = await bot.nextLease();
    expect(leasedAction(lease)).toEqual(slow.action.digest);
    await bot.complete(lease);
    await bot.serveOne();
    await Promise.all([...executions, joiner].map((each) => each.finish()));
  });
});

describe('Platform', () => {
  choice('of the Action is preferred to that of the Command', async () => {
    const [platform, other] = [new Platform(tenant), new Platform(tenant)];
    const [name, value] = other.property;
    const { action } = await platform.prepare({ command: { platform: { properties: [{ name, value }] } } });
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    await Promise.all([bot.serveOne(), execution.finish()]);
    expect(execution.updates.at(-1)?.operation.done).toBe(true);
  });

  it('of the Command counts where the Action has none', async () => {
    const platform = new Platform(tenant);
    const [name, value] = platform.property;
    const { action } = await tenant.prepare({ command: { platform: { properties: [{ name, value }] } } });
    const [bot, stranger] = [platform.bot(), new Platform(tenant).bot()];
    const execution = tenant.execute(action.digest);
    await execution.next();
    expect((await stranger.create({}, SHORT_POLL)).leases).toEqual([]);
    await Promise.all([bot.serveOne(), execution.finish()]);
    expect(execution.updates.at(-1)?.operation.done).toBe(true);
  });

  it('an action runs only on a bot that offers what it asks for', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    await execution.next();
    const strangers = [new Platform(tenant).bot(), new Platform(tenant).bot()];
    for (const session of await Promise.all(strangers.map((each) => each.create({}, SHORT_POLL)))) {
      expect(session.leases).toEqual([]);
    }
    await Promise.all([platform.bot().serveOne(), execution.finish()]);
  });

  it('a property of a second device does not count', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    await execution.next();
    const [key, value] = platform.property;
    const devices = [
      { handle: 'first', properties: [] },
      { handle: 'second', properties: [{ key, value }] },
    ];
    const worker = { devices, properties: [], configs: [] };
    expect((await platform.bot().create({ worker }, SHORT_POLL)).leases).toEqual([]);
    await Promise.all([platform.bot().serveOne(), execution.finish()]);
  });

  it('a bot with several values of a property fits each of them', async () => {
    const platforms = [new Platform(tenant), new Platform(tenant)] as const;
    const bot = platforms[0].bot({ properties: platforms.map((each) => each.property) });
    for (const platform of platforms) {
      const { action } = await platform.prepare();
      const execution = tenant.execute(action.digest);
      await Promise.all([bot.serveOne(), execution.finish()]);
      expect(execution.updates.at(-1)?.operation.done).toBe(true);
    }
  });
});

describe('Leases carry the action', () => {
  it('as itself or by its digest, unchanged', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const bot = platform.bot();
    const execution = tenant.execute(action.digest);
    const lease = await bot.nextLease();
    expect(leasedAction(lease)).toEqual(action.digest);
    await bot.complete(lease);
    await execution.finish();
  });

  choice('an Action with fields that this server does not know reaches the bot byte for byte', async () => {
    const platform = new Platform(tenant);
    const [name, value] = platform.property;
    const prepared = prepareAction({ action: { platform: { properties: [{ name, value }] } } });
    const unknownField = Buffer.from([0xfa, 0x3e, 0x03, 0x61, 0x62, 0x63]);
    const strange = blobOf(Buffer.concat([prepared.action.data, unknownField]));
    expect(Action.decode(strange.data).commandDigest).toEqual(prepared.command.digest);
    await tenant.upload(...prepared.blobs, strange);
    const bot = platform.bot();
    const execution = tenant.execute(strange.digest);
    const lease = await bot.nextLease();
    expect(leasedAction(lease)).toEqual(strange.digest);
    await bot.complete(lease, { exitCode: 0 });
    await execution.finish();
  });
});
