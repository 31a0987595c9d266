import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AT_ONCE, callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { type TestBot, TestGrid } from '../../test/support/test-grid.ts';
import { createRequirement } from '../domain/platform.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { WorkQueue } from '../proto/warren/v1/administration.ts';
import { Administration } from './administration.ts';
import { Instances } from './instances.ts';

const ARM = { ISA: 'arm' };
const ARM_PROPERTIES = [{ name: 'ISA', value: 'arm' }];
let grid: TestGrid;
let administration: Administration;

beforeEach(async () => {
  grid = await new TestGrid({ settings: { abandonAfter: 600_000, unservedGrace: 600_000 } }).start();
  const instances = new Instances(['main', ''].map((name) => testInstance(new MapBlobStore(), { name })));
  administration = new Administration({ instances, scheduler: grid.scheduler, maxDrains: 2 });
});

afterEach(() => grid.stop());

async function queues(): Promise<WorkQueue[]> {
  return (await administration.listWorkQueues({ instanceName: 'main', allInstances: false }, callContext())).workQueues;
}

/** A bot's call, held to its end unless there is work. */
async function polled(bot: TestBot): Promise<void> {
  const answered = bot.update();
  await grid.clock.advance(30_000);
  await answered;
}

function pause(paused: boolean): Promise<unknown> {
  return administration.setWorkQueuePaused({ instanceName: 'main', properties: ARM_PROPERTIES, paused }, callContext());
}

function drain(pattern: string): Promise<unknown> {
  return administration.addDrain({ drain: { pattern, comment: 'kernel' } }, callContext());
}

describe('a work queue', () => {
  test('is listed with what waits, since when, and what no bot offers', async () => {
    const bot = grid.bot('x86', { properties: [['ISA', 'x86-64']] });
    await bot.create(AT_ONCE);
    const queuedAt = grid.clock.now();
    grid.execute(await grid.uploadAction({ platform: ARM }));
    await grid.clock.advance(3_000);
    expect(await queues()).toMatchObject([
      {
        instanceName: 'main',
        requirement: 'ISA=arm',
        properties: ARM_PROPERTIES,
        paused: false,
        waitingJobs: 1n,
        waitingMessages: 1n,
        oldestQueued: { seconds: BigInt(Math.floor(queuedAt / 1_000)) },
        fittingBots: 0n,
        idleSlots: 0n,
        reason: 'no bot offers the platform property ISA=arm (bots offer x86-64)',
      },
    ]);
  });

  test('waits because every bot that fits is busy', async () => {
    grid.execute(await grid.uploadAction({ platform: ARM, argument: 'one' }));
    const bot = grid.bot('arm', { properties: [['ISA', 'arm']] });
    await bot.create();
    expect(await queues()).toMatchObject([{ waitingJobs: 0n, fittingBots: 1n, idleSlots: 0n, reason: '' }]);
    grid.execute(await grid.uploadAction({ platform: ARM, argument: 'two' }));
    await grid.settle();
    expect(await queues()).toMatchObject([{ waitingJobs: 1n, reason: 'every bot that fits is busy (1 bot, 1 lease)' }]);
  });

  test('waits because every bot that fits is drained', async () => {
    const bot = grid.bot('arm', { properties: [['ISA', 'arm']] });
    await bot.create(AT_ONCE);
    await drain('arm');
    grid.execute(await grid.uploadAction({ platform: ARM }));
    await grid.settle();
    expect(await queues()).toMatchObject([
      { waitingJobs: 1n, fittingBots: 1n, idleSlots: 0n, reason: 'every bot that fits is drained (1 bot)' },
    ]);
  });

  test('that is paused hands out nothing, and says so, until it is resumed', async () => {
    await pause(true);
    grid.execute(await grid.uploadAction({ platform: ARM }));
    await grid.settle();
    const bot = grid.bot('arm', { properties: [['ISA', 'arm']] });
    await bot.create(AT_ONCE);
    await polled(bot);
    expect(bot.leases).toEqual([]);
    expect(await queues()).toMatchObject([{ paused: true, waitingJobs: 1n, reason: 'the queue is paused' }]);
    await pause(false);
    await polled(bot);
    expect(bot.leases).toHaveLength(1);
  });

  test('of another instance is listed where all are asked for, and only there', async () => {
    await grid.broker.setPaused({ instanceName: '', requirement: createRequirement([]) }, true, callContext().signal);
    expect(await queues()).toEqual([]);
    const all = await administration.listWorkQueues({ instanceName: '', allInstances: true }, callContext());
    expect(all.workQueues).toMatchObject([{ instanceName: '', requirement: '', paused: true }]);
  });

  test.each([
    ['a property without a name', [{ name: '', value: 'x' }]],
    ['a value that is too long', [{ name: 'a', value: 'x'.repeat(1_025) }]],
    ['too many properties', Array.from({ length: 101 }, (_, i) => ({ name: `${i}`, value: '' }))],
  ])('cannot be named by %s', async (_what, properties) => {
    await expect(
      administration.setWorkQueuePaused({ instanceName: 'main', properties, paused: true }, callContext()),
    ).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
  });
});

describe('a drain', () => {
  test('lets its bots finish, gives them nothing new, and ends', async () => {
    const bot = grid.bot('rack-7-bot', { capacity: 2 });
    grid.execute(await grid.uploadAction({ argument: 'one' }));
    await grid.settle();
    await bot.create();
    await drain('rack-7-*');
    grid.execute(await grid.uploadAction({ argument: 'two' }));
    await grid.settle();
    bot.activate();
    await polled(bot);
    expect(bot.leases).toHaveLength(1);
    expect((await administration.listDrains({}, callContext())).drains).toEqual([
      { pattern: 'rack-7-*', comment: 'kernel' },
    ]);
    await administration.removeDrain({ pattern: 'rack-7-*' }, callContext());
    await polled(bot);
    expect(bot.leases).toHaveLength(2);
  });

  test('that is not there is NOT_FOUND', async () => {
    await expect(administration.removeDrain({ pattern: 'x' }, callContext())).rejects.toMatchObject({
      code: StatusCode.NOT_FOUND,
    });
  });

  test.each(['', 'x'.repeat(1_025)])('has a pattern of bounded length', async (pattern) => {
    await expect(drain(pattern)).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
  });

  test('is one of a bounded number', async () => {
    await drain('a');
    await drain('b');
    await drain('b');
    await expect(drain('c')).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
  });
});
