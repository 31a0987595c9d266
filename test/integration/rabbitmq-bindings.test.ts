import { setMaxListeners } from 'node:events';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  DEAD_QUEUE,
  EVENTS_EXCHANGE,
  RETURNED_QUEUE,
  WORK_EXCHANGE,
} from '../../src/adapters/broker/rabbitmq/names.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { AT_ONCE } from '../support/call-context.ts';
import { OperatedFarm } from '../support/operated-farm.ts';
import { workMessage } from '../support/rabbitmq-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { RedisServer } from '../support/redis-server.ts';

/** An operator binds one more queue to the exchange of work by the key of a work queue: each message is there twice. */
const never = new AbortController().signal;
setMaxListeners(0, never);
const PATIENCE = { timeout: 20_000, interval: 50 };
const LINUX = { OSFamily: 'linux' };
const MACOS = { OSFamily: 'macos' };
/** A requirement that bots for LINUX with something more fit, too. */
const LARGE = { OSFamily: 'linux', size: 'large' };
let redisServer: RedisServer;
let redis: RedisConnection;
let server: RabbitmqServer;
let operator: ChannelModel;
let channel: Channel;
let farm: OperatedFarm;
let farms = 0;

beforeAll(async () => {
  redisServer = await RedisServer.start();
  redis = await connectToRedis(redisServer.port);
  server = await RabbitmqServer.start({ management: true });
  operator = await connect(server.url);
}, 120_000);

afterAll(async () => {
  await operator?.close();
  await server?.[Symbol.asyncDispose]();
  await redis?.stop();
  await redisServer?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  farms += 1;
  channel = await operator.createChannel();
});

afterEach(async () => {
  await farm[Symbol.asyncDispose]();
  await channel.purgeQueue(DEAD_QUEUE);
  await channel.close();
});

async function start(lostWork: 'resend' | 'fail' = 'resend'): Promise<void> {
  farm = await OperatedFarm.start({
    server,
    redis,
    instanceName: `bindings-${farms}`,
    // Nothing but what bots take and give up may move a job here.
    settings: { lostWork, unservedGrace: 86_400_000 },
  });
}

/** Brings the messages for LINUX into one more work queue, which comes with the first work that asks for it. */
async function copyTo(platform: Readonly<Record<string, string>>): Promise<void> {
  const queue = farm.queueName(platform);
  await farm.broker.offerWork(workMessage(farm.instanceName, 'first', platform), never);
  await channel.purgeQueue(queue);
  await channel.bindQueue(queue, WORK_EXCHANGE, farm.queueName(LINUX));
}

/** Messages of a queue that wait or are in a bot's hand. */
async function messagesIn(queue: string): Promise<number> {
  return (await server.queues()).find(({ name }) => name === queue)?.messages ?? 0;
}

/** A queue of the event tap, for what becomes of this farm's jobs. */
async function tap(): Promise<string> {
  const { queue } = await channel.assertQueue('', { exclusive: true });
  await channel.bindQueue(queue, EVENTS_EXCHANGE, `*.bindings-${farms}`);
  return queue;
}

async function statesOf(jobId: string, from: string): Promise<string[]> {
  const states: string[] = [];
  for (;;) {
    const message = await channel.get(from, { noAck: true });
    if (message === false) return states;
    const event = JSON.parse(message.content.toString()) as { readonly jobId: string; readonly state: string };
    if (event.jobId === jobId) states.push(event.state);
  }
}

test('a job whose message is in two work queues runs once, whoever takes which', async () => {
  await start();
  await copyTo(LARGE);
  const events = await tap();
  const client = await farm.execute('twice');
  await expect.poll(() => messagesIn(farm.queueName(LARGE)), PATIENCE).toBe(1);
  const { jobId } = await farm.workOf(client);
  // One at each replica, and each fits both queues.
  const bots = [await farm.bot(LARGE, 'bot-1', farm.front), await farm.bot(LARGE, 'bot-2', farm.back)];
  for (const bot of bots) void bot.update();
  await expect.poll(() => messagesIn(farm.queueName(LINUX)), PATIENCE).toBe(0);
  await expect.poll(() => messagesIn(farm.queueName(LARGE)), PATIENCE).toBe(0);
  await expect.poll(() => bots.flatMap(({ leases }) => leases.map(({ id }) => id)), PATIENCE).toEqual([`${jobId}.1`]);
  const bot = bots.find(({ leases }) => leases.length > 0);
  bot?.complete(`${jobId}.1`, { exitCode: 3 });
  await bot?.update(AT_ONCE);
  await expect.poll(() => client.ended, PATIENCE).toBe(true);
  expect(client.response.result?.exitCode).toBe(3);
  expect(await statesOf(jobId, events)).toEqual(['leased', 'completed']);
});

test('a copy that outlives its job is dropped when a bot takes it, which goes on waiting', async () => {
  await start();
  await copyTo(LARGE);
  const client = await farm.execute('copied');
  const first = await farm.bot(LINUX);
  const polled = first.update();
  await farm.leased(first, 1);
  await polled;
  first.complete(first.leases[0]?.id ?? '', { exitCode: 4 });
  await first.update(AT_ONCE);
  await expect.poll(() => client.ended, PATIENCE).toBe(true);
  expect(await messagesIn(farm.queueName(LARGE))).toBe(1);
  const second = await farm.bot(LARGE, 'bot-2');
  void second.update();
  await expect.poll(() => messagesIn(farm.queueName(LARGE)), PATIENCE).toBe(0);
  const other = await farm.execute('other', 0, LARGE);
  const { jobId } = await farm.workOf(other);
  await farm.leased(second, 1);
  expect(second.leases[0]?.id).toBe(`${jobId}.1`);
});

test.each(['resend', 'fail'] as const)(
  'a copy in a queue whose bots do not fit it is dropped, and the job goes on waiting, with lostWork: %s',
  async (lostWork) => {
    await start(lostWork);
    await copyTo(MACOS);
    const client = await farm.execute('waits');
    const { jobId } = await farm.workOf(client);
    await expect.poll(() => messagesIn(farm.queueName(MACOS)), PATIENCE).toBe(1);
    const misfit = await farm.bot(MACOS);
    void misfit.update();
    await expect.poll(() => messagesIn(farm.queueName(MACOS)), PATIENCE).toBe(0);
    await expect.poll(() => messagesIn(RETURNED_QUEUE), PATIENCE).toBe(0);
    // The misfit still takes what is its own; by then whatever came of the copy has come.
    const next = await farm.execute('next', 0, MACOS);
    const { jobId: nextJobId } = await farm.workOf(next);
    await farm.leased(misfit, 1);
    expect(misfit.leases[0]?.id).toBe(`${nextJobId}.1`);
    expect(await messagesIn(farm.queueName(LINUX))).toBe(1);
    const bot = await farm.bot(LINUX, 'bot-2');
    void bot.update();
    await farm.leased(bot, 1);
    expect(bot.leases[0]?.id).toBe(`${jobId}.1`);
    expect(client.ended).toBe(false);
  },
);
