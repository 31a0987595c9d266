import { setMaxListeners } from 'node:events';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { workQueueName } from '../../src/adapters/broker/rabbitmq/names.ts';
import type { WorkInterest } from '../../src/ports/broker.ts';
import { AT_ONCE } from '../support/call-context.ts';
import { OperatedFarm } from '../support/operated-farm.ts';
import { consumersOf, interestOf, RabbitmqFarm, workMessage } from '../support/rabbitmq-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';

/**
 * No message goes round between a queue and replicas that can't place it. The broker counts what it hands out again; while
 * nobody consumes from a queue it can hand out nothing, so that the count is final once the consumers are gone.
 */
const never = new AbortController().signal;
setMaxListeners(0, never);
const PATIENCE = { timeout: 20_000, interval: 50 };
let server: RabbitmqServer;
let operator: ChannelModel;
let channel: Channel;
let instanceName = 'none';
let instances = 0;

beforeAll(async () => {
  server = await RabbitmqServer.start({ metrics: true });
  operator = await connect(server.url);
}, 120_000);

afterAll(async () => {
  await operator?.close();
  await server?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  instances += 1;
  instanceName = `redeliveries-${instances}`;
  channel = await operator.createChannel();
});

afterEach(() => channel.close());

function redelivered(): Promise<number> {
  return server.counter('messages_redelivered_total');
}

async function untilConsumed(queues: readonly string[], consumers: number): Promise<void> {
  for (const queue of queues) await expect.poll(() => consumersOf(operator, queue), PATIENCE).toBe(consumers);
}

/** Work for queues that are there, one for each, and empty; and what a bot offers that fits them all. */
async function makeQueues(farm: RabbitmqFarm, count: number) {
  const properties = Array.from({ length: count }, (_, i) => [`property-${i}`, '1'] as const);
  const bot = interestOf(instanceName, Object.fromEntries(properties));
  const work = properties.map(([name, value], i) => workMessage(instanceName, `job-${i}`, { [name]: value }));
  const names = work.map((each) => workQueueName(each));
  for (const each of work) await farm.replica.offerWork(each, never);
  for (const name of names) await channel.purgeQueue(name);
  return { bot, work, names };
}

/** The jobs of all messages that wait, as they are taken. */
async function takeAll(farm: RabbitmqFarm, bot: WorkInterest): Promise<string[]> {
  const taken: string[] = [];
  for (;;) {
    const delivery = await farm.replica.takeNow(bot, never);
    if (delivery === undefined) return taken;
    taken.push(delivery.work.jobId);
    delivery.acknowledge();
  }
}

describe.each(['classic', 'quorum'] as const)('of %s queues', (type) => {
  const queues = { type, priorityLevels: 10, expires: 3_600_000 };

  test('what comes to an idle bot that fits twenty of them, and is too much, goes back once', async () => {
    await using farm = await RabbitmqFarm.start(server, instanceName, 1, { queues });
    const { bot, work, names } = await makeQueues(farm, 20);
    const waiting = farm.replica.takeNext(bot, never);
    await untilConsumed(names, 1);
    const before = await redelivered();
    await Promise.all(work.map((each) => farm.replica.offerWork(each, never)));
    const delivery = await waiting;
    delivery.acknowledge();
    await untilConsumed(names, 0);
    expect((await redelivered()) - before).toBe(0);
    const taken = [delivery.work.jobId, ...(await takeAll(farm, bot))];
    expect(taken.toSorted()).toEqual(work.map(({ jobId }) => jobId).toSorted());
    // Now that they are taken, it shows which of them had gone back: one limit for all queues lets none come.
    expect((await redelivered()) - before).toBeLessThanOrEqual(type === 'classic' ? 0 : 19);
  });

  test('what comes as the last idle bot goes, goes back once', async () => {
    await using farm = await RabbitmqFarm.start(server, instanceName, 1, { queues });
    const { bot, work, names } = await makeQueues(farm, 5);
    const giveUp = new AbortController();
    const waiting = farm.replica.takeNext(bot, giveUp.signal);
    await untilConsumed(names, 1);
    const before = await redelivered();
    giveUp.abort('gone');
    await expect(waiting).rejects.toBe('gone');
    await Promise.all(work.map((each) => farm.replica.offerWork(each, never)));
    await untilConsumed(names, 0);
    expect((await redelivered()) - before).toBe(0);
    expect(await takeAll(farm, bot)).toHaveLength(5);
    expect((await redelivered()) - before).toBeLessThanOrEqual(5);
  });

  test('what idle bots may not have any more is given back by each of them once, however often they call', async () => {
    await using farm = await OperatedFarm.start({ server, instanceName, queueType: type });
    await farm.broker.offerWork(workMessage(instanceName, 'first', { OSFamily: 'linux' }), never);
    await channel.purgeQueue(farm.queueName());
    const bots = await Promise.all(['bot-1', 'bot-2', 'bot-3'].map((botId) => farm.bot(undefined, botId)));
    const calls = bots.map((bot) => bot.update());
    await untilConsumed([farm.queueName()], 1);
    await farm.back.sessions.addDrain({ pattern: 'bot-*', comment: '' }, never);
    const before = await redelivered();
    const client = await farm.execute('drained');
    const { jobId } = await farm.workOf(client);
    await Promise.all(calls);
    const later = bots.map((bot) => bot.update());
    await untilConsumed([farm.queueName()], 0);
    for (let i = 0; i < 10; i++) await Promise.all(bots.map((bot) => bot.update(AT_ONCE)));
    await Promise.allSettled(later);
    expect(bots.flatMap(({ leases }) => leases)).toEqual([]);
    expect((await redelivered()) - before).toBeLessThanOrEqual(bots.length);
    const fresh = await farm.bot(undefined, 'fresh');
    void fresh.update();
    await farm.leased(fresh, 1);
    expect(fresh.leases[0]?.id).toBe(`${jobId}.1`);
    expect((await redelivered()) - before).toBeLessThanOrEqual(bots.length + 1);
  });
});
