import { setMaxListeners } from 'node:events';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { encodeWork } from '../../src/adapters/broker/rabbitmq/messages.ts';
import {
  DEAD_QUEUE,
  RETURNED_EXCHANGE,
  WORK_EXCHANGE,
  workQueueName,
} from '../../src/adapters/broker/rabbitmq/names.ts';
import { offer } from '../../src/domain/job-machine/tell.ts';
import { parseOperationName } from '../../src/domain/operation.ts';
import { createRequirement } from '../../src/domain/platform.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import type { WorkMessage } from '../../src/domain/work.ts';
import type { SchedulingSettings } from '../../src/scheduling/settings.ts';
import { statusFromWire } from '../../src/wire/status.ts';
import { AT_ONCE } from '../support/call-context.ts';
import { RabbitmqFarm } from '../support/rabbitmq-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { type TestBot, type TestClient, TestGrid } from '../support/test-grid.ts';

/** What operators do to work queues, and what becomes of the jobs. Scheduling runs on the test's clock, RabbitMQ does not. */
const never = new AbortController().signal;
setMaxListeners(0, never);
const GRACE_MS = 10_000;
const PATIENCE = { timeout: 20_000, interval: 50 };
const LINUX = { OSFamily: 'linux' };
let server: RabbitmqServer;
let operator: ChannelModel;
let channel: Channel;
let instanceName = 'none';
let instances = 0;
let farm: RabbitmqFarm;
let grid: TestGrid;
let policySet = false;

beforeAll(async () => {
  server = await RabbitmqServer.start();
  operator = await connect(server.url);
}, 120_000);

afterAll(async () => {
  await operator?.close();
  await server[Symbol.asyncDispose]();
});

beforeEach(async () => {
  instances += 1;
  instanceName = `team/policies.${instances}`;
  channel = await operator.createChannel();
});

afterEach(async () => {
  if (policySet) await server.control('clear_policy', 'test');
  policySet = false;
  await grid.stop();
  await farm[Symbol.asyncDispose]();
  await channel.purgeQueue(DEAD_QUEUE);
  await channel.close();
});

async function start(settings: Partial<SchedulingSettings> = {}): Promise<void> {
  farm = await RabbitmqFarm.start(server, instanceName, 1);
  grid = await new TestGrid({
    broker: farm.replica,
    instanceNames: [instanceName, 'other'],
    settings: { abandonAfter: 86_400_000, unservedGrace: GRACE_MS, ...settings },
  }).start();
}

function queueName(properties: Readonly<Record<string, string>> = LINUX): string {
  const requirement = createRequirement(Object.entries(properties).map(([name, value]) => ({ name, value })));
  return workQueueName({ instanceName, requirement });
}

/** As in the management console: a policy for the work queues of this test's instance. */
async function setPolicy(definition: object): Promise<void> {
  const pattern = `^warren\\.work\\.${instanceName.replace('/', '%2F').replace('.', '%2E')}\\.`;
  policySet = true;
  await server.control('set_policy', 'test', pattern, JSON.stringify(definition), '--apply-to', 'queues');
}

/** A job that waits; its message is in the broker. */
async function execute(argument: string, priority = 0, platform = LINUX): Promise<TestClient> {
  const client = grid.execute(await grid.uploadAction({ argument, platform }), {
    instanceName,
    executionPolicy: { priority },
  });
  await expect.poll(() => client.name, PATIENCE).not.toBe('');
  return client;
}

async function workOf(client: TestClient): Promise<WorkMessage> {
  const job = await grid.jobs.getByOperation(parseOperationName(client.name)?.id ?? '', never);
  const effect = job === undefined ? undefined : offer(job);
  if (effect?.type !== 'offer') throw new Error('there is no job');
  return effect.work;
}

/** A bot that fits, and polls on and on as long as the test's clock is moved. */
async function fittingBot(properties: ReadonlyArray<readonly [string, string]> = [['OSFamily', 'linux']]) {
  const bot = grid.bot('bot', { parent: instanceName, properties, deadline: 86_400_000 });
  await bot.create(AT_ONCE);
  return bot;
}

/** Moves the test's clock until the client has its answer. */
async function ended(client: TestClient): Promise<{ code: number; message: string; details: readonly unknown[] }> {
  await expect
    .poll(async () => {
      await grid.clock.advance(1_000);
      return client.ended;
    }, PATIENCE)
    .toBe(true);
  const { status } = client.response;
  if (status === undefined) throw new Error('the answer has no status');
  const { code, message, details } = statusFromWire(status);
  return { code, message, details };
}

/** Moves the test's clock until the bot has so many leases. */
async function leased(bot: TestBot, count: number): Promise<void> {
  await expect
    .poll(async () => {
      await grid.clock.advance(1_000);
      return bot.leases.length;
    }, PATIENCE)
    .toBe(count);
}

async function letters(): Promise<string[]> {
  const reasons: string[] = [];
  for (;;) {
    const message = await channel.get(DEAD_QUEUE, { noAck: true });
    if (message === false) return reasons;
    reasons.push(String(message.properties.headers?.['reason']));
  }
}

describe('message-ttl on a work queue', () => {
  test('ends what waits too long, says for how long and where, and leaves a dead letter', async () => {
    await start({ unservedGrace: 86_400_000 });
    await setPolicy({ 'message-ttl': 1_500 });
    const client = await execute('ttl');
    expect(await ended(client)).toMatchObject({
      code: StatusCode.UNAVAILABLE,
      message: expect.stringMatching(/^waited \d+ s in queue OSFamily=linux, as long as its policy allows$/),
    });
    await expect.poll(letters, PATIENCE).toEqual([expect.stringContaining('as long as its policy allows')]);
  });

  test('does not end a job that was offered anew since', async () => {
    await start();
    const client = await execute('raised');
    const stale = { ...(await workOf(client)), offeredAt: 1 };
    // What became of it shows once a message behind it, in the same queue of returned ones, has ended its job.
    const behind = await execute('behind', 0, { OSFamily: 'macos' });
    const { queue } = await channel.assertQueue('', {
      exclusive: true,
      messageTtl: 1,
      deadLetterExchange: RETURNED_EXCHANGE,
    });
    channel.sendToQueue(queue, encodeWork(stale));
    channel.sendToQueue(queue, encodeWork(await workOf(behind)));
    await expect.poll(() => behind.ended, PATIENCE).toBe(true);
    expect(client.ended).toBe(false);
    const bot = await fittingBot();
    void bot.update();
    await leased(bot, 1);
  });
});

describe('max-length on a work queue', () => {
  test('with reject-publish refuses an Execute with RESOURCE_EXHAUSTED and RetryInfo', async () => {
    await start();
    const first = await execute('first');
    await setPolicy({ 'max-length': 1, overflow: 'reject-publish' });
    // The broker takes a moment to apply a policy, and may take one message more meanwhile.
    await expect
      .poll(async () => {
        const client = grid.execute(await grid.uploadAction({ platform: LINUX, doNotCache: true }), { instanceName });
        await expect.poll(() => client.ended || client.name !== '', PATIENCE).toBe(true);
        if (client.ended) return client.failure;
        client.disconnect();
        return undefined;
      }, PATIENCE)
      .toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED, details: [{ kind: 'retry-info' }] });
    expect(first.ended).toBe(false);
  });

  test('with drop-head ends the job that is dropped with RESOURCE_EXHAUSTED and RetryInfo', async () => {
    await start();
    const dropped = await execute('dropped');
    await setPolicy({ 'max-length': 1, overflow: 'drop-head' });
    const kept = await execute('kept');
    expect(await ended(dropped)).toMatchObject({
      code: StatusCode.RESOURCE_EXHAUSTED,
      message: 'queue OSFamily=linux is full: its policy dropped this job for a younger one',
      details: [{ kind: 'retry-info', retryDelayMilliseconds: 5_000 }],
    });
    const bot = await fittingBot();
    void bot.update();
    await leased(bot, 1);
    expect(kept.ended).toBe(false);
  });
});

describe.each([
  ['purged', () => channel.purgeQueue(queueName())],
  ['deleted', () => channel.deleteQueue(queueName())],
] as const)('a work queue that is %s', (_what, harm) => {
  test('is filled again, and no client hangs', async () => {
    await start();
    await execute('resent');
    const bot = await fittingBot();
    await harm();
    void bot.update();
    await leased(bot, 1);
    expect(bot.leases).toHaveLength(1);
  });

  test('ends its jobs with ABORTED and a dead letter where lost work is to fail', async () => {
    await start({ lostWork: 'fail' });
    const client = await execute('failed');
    await fittingBot();
    await harm();
    expect(await ended(client)).toMatchObject({
      code: StatusCode.ABORTED,
      message: 'lost from queue OSFamily=linux, which was purged or deleted, or whose messages were moved',
    });
    await expect.poll(letters, PATIENCE).toEqual([expect.stringContaining('lost from queue OSFamily=linux')]);
  });
});

describe('messages that are moved', () => {
  test('out of the work queues are replaced, and run once though they come back', async () => {
    await start();
    const { queue: elsewhere } = await channel.assertQueue('', { exclusive: true });
    await execute('moved');
    const message = await channel.get(queueName(), { noAck: true });
    if (message === false) throw new Error('no message');
    channel.sendToQueue(elsewhere, message.content, message.properties);
    const bot = await fittingBot();
    void bot.update();
    await leased(bot, 1);
    channel.publish(WORK_EXCHANGE, queueName(), message.content, message.properties);
    const second = grid.bot('bot-2', { parent: instanceName, properties: [['OSFamily', 'linux']], deadline: 20_000 });
    const created = second.create();
    let answered = false;
    void created.finally(() => {
      answered = true;
    });
    await expect
      .poll(async () => {
        await grid.clock.advance(1_000);
        return answered;
      }, PATIENCE)
      .toBe(true);
    expect(second.leases).toEqual([]);
    expect((await channel.checkQueue(queueName())).messageCount).toBe(0);
  });

  test('into a queue whose bots do not fit them go back to their own', async () => {
    await start();
    const client = await execute('misplaced');
    const message = await channel.get(queueName(), { noAck: true });
    if (message === false) throw new Error('no message');
    const other = await execute('other', 0, { OSFamily: 'macos' });
    const moved = { ...message.properties, priority: 9 };
    channel.publish(WORK_EXCHANGE, queueName({ OSFamily: 'macos' }), message.content, moved);
    const bot = await fittingBot([['OSFamily', 'macos']]);
    void bot.update();
    await leased(bot, 1);
    expect(bot.leases[0]?.id).toContain((await workOf(other)).jobId);
    await expect.poll(async () => (await channel.checkQueue(queueName())).messageCount, PATIENCE).toBe(1);
    expect(client.ended).toBe(false);
  });

  test('are missed though their queue is never empty, once a younger one is handed out', async () => {
    await start();
    await execute('older');
    await execute('lost');
    const older = await channel.get(queueName());
    await channel.get(queueName(), { noAck: true });
    if (older === false) throw new Error('no message');
    channel.nack(older);
    await fittingBot();
    await grid.clock.advance(GRACE_MS * 2);
    await execute('younger');
    await execute('youngest');
    const interest = { instanceName, capability: new Map([['OSFamily', new Set(['linux'])]]) };
    // As a replica that dies with what it was handed.
    for (let i = 0; i < 2; i++) (await farm.replica.takeNow(interest, never))?.acknowledge();
    await expect
      .poll(async () => {
        await grid.clock.advance(1_000);
        return (await channel.checkQueue(queueName())).messageCount;
      }, PATIENCE)
      .toBe(3);
  });
});

test('a message that names another queue than its job has brings no bot a lease that it does not fit', async () => {
  await start();
  const client = await execute('forged', 0, { OSFamily: 'macos' });
  const forged = { ...(await workOf(client)), requirement: createRequirement([{ name: 'OSFamily', value: 'linux' }]) };
  await execute('honest');
  channel.publish(WORK_EXCHANGE, queueName(), encodeWork(forged), { priority: 9 });
  const bot = await fittingBot();
  void bot.update();
  await leased(bot, 1);
  const { jobId } = await workOf(client);
  expect(bot.leases[0]?.id).not.toContain(jobId);
  const job = await grid.jobs.get(jobId, never);
  expect(job).toMatchObject({ state: 'queued', failedAttempts: [{ reason: 'its work message named another queue' }] });
});

test('a job that used up its attempts is a dead letter', async () => {
  await start({ maxAttempts: 1, leaseTime: 5_000 });
  const client = await execute('given up');
  const bot = await fittingBot();
  void bot.update();
  await leased(bot, 1);
  expect(await ended(client)).toMatchObject({ code: StatusCode.ABORTED });
  await expect.poll(letters, PATIENCE).toEqual([expect.stringContaining('given up after 1 attempts')]);
});
