import { setMaxListeners } from 'node:events';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { encodeWork } from '../../src/adapters/broker/rabbitmq/messages.ts';
import { DEAD_QUEUE, RETURNED_EXCHANGE, WORK_EXCHANGE } from '../../src/adapters/broker/rabbitmq/names.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { createRequirement } from '../../src/domain/platform.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import type { SchedulingSettings } from '../../src/scheduling/settings.ts';
import { OperatedFarm } from '../support/operated-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { RedisServer } from '../support/redis-server.ts';

/** What operators do to work queues, and what becomes of the jobs. Scheduling runs on the test's clock, RabbitMQ does not. */
const never = new AbortController().signal;
setMaxListeners(0, never);
const GRACE_MS = 10_000;
const PATIENCE = { timeout: 20_000, interval: 50 };
const LINUX = { OSFamily: 'linux' };
let server: RabbitmqServer;
let redisServer: RedisServer;
let redis: RedisConnection;
let operator: ChannelModel;
let channel: Channel;
let instances = 0;
let farm: OperatedFarm;
let policySet = false;

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
  instances += 1;
  channel = await operator.createChannel();
});

afterEach(async () => {
  if (policySet) await server.clearPolicy('test');
  policySet = false;
  await farm[Symbol.asyncDispose]();
  await channel.purgeQueue(DEAD_QUEUE);
  await channel.close();
});

interface Kind {
  readonly onRedis: boolean;
  readonly queueType: 'classic' | 'quorum';
}

const ONE_REPLICA: Kind = { onRedis: false, queueType: 'classic' };

/** Where an operator's deed must come to the same. */
const KINDS: ReadonlyArray<readonly [name: string, kind: Kind]> = [
  ['one replica', ONE_REPLICA],
  ['two replicas on Redis', { onRedis: true, queueType: 'classic' }],
  ['two replicas on Redis, with quorum queues', { onRedis: true, queueType: 'quorum' }],
];

async function start(settings: Partial<SchedulingSettings> = {}, kind = ONE_REPLICA): Promise<void> {
  farm = await OperatedFarm.start({
    server,
    instanceName: `team/policies.${instances}`,
    redis: kind.onRedis ? redis : undefined,
    queueType: kind.queueType,
    settings: { unservedGrace: GRACE_MS, ...settings },
  });
}

/** As in the management console: a policy for the work queues of this test's instance. */
async function setPolicy(definition: object): Promise<void> {
  policySet = true;
  await server.setPolicy('test', farm.queuePattern, definition);
}

async function letters(): Promise<string[]> {
  const reasons: string[] = [];
  for (;;) {
    const message = await channel.get(DEAD_QUEUE, { noAck: true });
    if (message === false) return reasons;
    reasons.push(String(message.properties.headers?.['reason']));
  }
}

describe.each(KINDS)('on %s', (_name, kind) => {
  describe('message-ttl on a work queue', () => {
    test('ends what waits too long, says for how long and where, and leaves a dead letter', async () => {
      await start({ unservedGrace: 86_400_000 }, kind);
      await setPolicy({ 'message-ttl': 1_500 });
      const client = await farm.execute('ttl');
      expect(await farm.ended(client)).toMatchObject({
        code: StatusCode.UNAVAILABLE,
        message: expect.stringMatching(/^waited \d+ s in queue OSFamily=linux, as long as its policy allows$/),
      });
      await expect.poll(letters, PATIENCE).toEqual([expect.stringContaining('as long as its policy allows')]);
    });
  });

  describe('max-length on a work queue', () => {
    test('with reject-publish refuses an Execute with RESOURCE_EXHAUSTED and RetryInfo', async () => {
      await start({}, kind);
      const first = await farm.execute('first');
      await setPolicy({ 'max-length': 1, overflow: 'reject-publish' });
      // The broker takes a moment to apply a policy, and may take one message more meanwhile.
      await expect
        .poll(async () => {
          const client = farm.front.execute(await farm.front.uploadAction({ platform: LINUX, doNotCache: true }), {
            instanceName: farm.instanceName,
          });
          await expect.poll(() => client.ended || client.name !== '', PATIENCE).toBe(true);
          if (client.ended) return client.failure;
          client.disconnect();
          return undefined;
        }, PATIENCE)
        .toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED, details: [{ kind: 'retry-info' }] });
      expect(first.ended).toBe(false);
    });

    test('with drop-head ends the job that is dropped with RESOURCE_EXHAUSTED and RetryInfo', async () => {
      await start({}, kind);
      const dropped = await farm.execute('dropped');
      await setPolicy({ 'max-length': 1, overflow: 'drop-head' });
      const kept = await farm.execute('kept');
      expect(await farm.ended(dropped)).toMatchObject({
        code: StatusCode.RESOURCE_EXHAUSTED,
        message: 'queue OSFamily=linux is full: its policy dropped this job for a younger one',
        details: [{ kind: 'retry-info', retryDelayMilliseconds: 5_000 }],
      });
      const bot = await farm.bot();
      void bot.update();
      await farm.leased(bot, 1);
      expect(kept.ended).toBe(false);
    });
  });

  describe.each([
    ['purged', () => channel.purgeQueue(farm.queueName())],
    ['deleted', () => channel.deleteQueue(farm.queueName())],
  ] as const)('a work queue that is %s', (_what, harm) => {
    test('is filled again, and no client hangs', async () => {
      await start({}, kind);
      await farm.execute('resent');
      const bot = await farm.bot();
      await harm();
      void bot.update();
      await farm.leased(bot, 1);
      expect(bot.leases).toHaveLength(1);
    });

    test('ends its jobs with ABORTED and a dead letter where lost work is to fail', async () => {
      await start({ lostWork: 'fail' }, kind);
      const client = await farm.execute('failed');
      await farm.bot();
      await harm();
      expect(await farm.ended(client)).toMatchObject({
        code: StatusCode.ABORTED,
        message: 'lost from queue OSFamily=linux, which was purged or deleted, or whose messages were moved',
      });
      await expect.poll(letters, PATIENCE).toEqual([expect.stringContaining('lost from queue OSFamily=linux')]);
    });
  });

  describe('messages that are moved', () => {
    test('out of the work queues are replaced, and run once though they come back', async () => {
      await start({}, kind);
      const { queue: elsewhere } = await channel.assertQueue('', { exclusive: true });
      await farm.execute('moved');
      const message = await channel.get(farm.queueName(), { noAck: true });
      if (message === false) throw new Error('no message');
      channel.sendToQueue(elsewhere, message.content, message.properties);
      const bot = await farm.bot();
      void bot.update();
      await farm.leased(bot, 1);
      channel.publish(WORK_EXCHANGE, farm.queueName(), message.content, message.properties);
      const second = farm.back.bot('bot-2', {
        parent: farm.instanceName,
        properties: [['OSFamily', 'linux']],
        deadline: 20_000,
      });
      const created = second.create();
      let answered = false;
      void created.finally(() => {
        answered = true;
      });
      await farm.until('the call is answered', () => answered);
      expect(second.leases).toEqual([]);
      expect((await channel.checkQueue(farm.queueName())).messageCount).toBe(0);
    });

    test('into a queue whose bots do not fit them go back to their own', async () => {
      await start({}, kind);
      const client = await farm.execute('misplaced');
      const message = await channel.get(farm.queueName(), { noAck: true });
      if (message === false) throw new Error('no message');
      const other = await farm.execute('other', 0, { OSFamily: 'macos' });
      channel.publish(WORK_EXCHANGE, farm.queueName({ OSFamily: 'macos' }), message.content, message.properties);
      const bots = [await farm.bot({ OSFamily: 'macos' }), await farm.bot({ OSFamily: 'macos' }, 'bot-2')];
      for (const bot of bots) void bot.update();
      await farm.until(
        'it is in its own queue',
        async () => (await channel.checkQueue(farm.queueName())).messageCount === 1,
      );
      const { jobId } = await farm.workOf(other);
      await farm.until('a bot has a lease', () => bots.some(({ leases }) => leases.length > 0));
      expect(bots.flatMap(({ leases }) => leases.map(({ id }) => id))).toEqual([`${jobId}.1`]);
      expect(client.ended).toBe(false);
    });
  });

  test('a job that used up its attempts is a dead letter', async () => {
    await start({ maxAttempts: 1, leaseTime: 5_000 }, kind);
    const client = await farm.execute('given up');
    const bot = await farm.bot();
    void bot.update();
    await farm.leased(bot, 1);
    expect(await farm.ended(client)).toMatchObject({ code: StatusCode.ABORTED });
    await expect.poll(letters, PATIENCE).toEqual([expect.stringContaining('given up after 1 attempts')]);
  });
});

test('delivery-limit on a quorum queue makes a job that went back too often be offered anew, also where lost work is to fail', async () => {
  await start({ lostWork: 'fail' }, { onRedis: true, queueType: 'quorum' });
  const client = await farm.execute('goes back');
  const { offeredAt } = await farm.workOf(client);
  await setPolicy({ 'delivery-limit': 1 });
  await farm.front.clock.advance(1_000);
  // The broker takes a moment to apply a policy.
  await farm.until('it is offered anew', async () => {
    const message = await channel.get(farm.queueName());
    if (message !== false) channel.nack(message);
    return (await farm.workOf(client)).offeredAt > offeredAt;
  });
  expect(client.ended).toBe(false);
  await server.clearPolicy('test');
  policySet = false;
  const bot = await farm.bot();
  void bot.update();
  await farm.leased(bot, 1);
});

test('message-ttl does not end a job that was offered anew since', async () => {
  await start();
  const client = await farm.execute('raised');
  const stale = { ...(await farm.workOf(client)), offeredAt: 1 };
  // What became of it shows once a message behind it, in the same queue of returned ones, has ended its job.
  const behind = await farm.execute('behind', 0, { OSFamily: 'macos' });
  const { queue } = await channel.assertQueue('', {
    exclusive: true,
    messageTtl: 1,
    deadLetterExchange: RETURNED_EXCHANGE,
  });
  channel.sendToQueue(queue, encodeWork(stale));
  channel.sendToQueue(queue, encodeWork(await farm.workOf(behind)));
  await expect.poll(() => behind.ended, PATIENCE).toBe(true);
  expect(client.ended).toBe(false);
  const bot = await farm.bot();
  void bot.update();
  await farm.leased(bot, 1);
});

test('messages that are moved on and on to where no bot fits them do not go round', async () => {
  await start();
  const client = await farm.execute('moved');
  const other = await farm.execute('other', 0, { OSFamily: 'macos' });
  const misfits = await Promise.all(['bot-1', 'bot-2'].map((botId) => farm.bot({ OSFamily: 'macos' }, botId)));
  await farm.bot();
  for (const bot of misfits) void bot.update();
  await expect.poll(() => misfits.filter(({ leases }) => leases.length > 0), PATIENCE).toHaveLength(1);
  // As a shovel that an operator has left in place.
  let moved = 0;
  const { consumerTag } = await channel.consume(farm.queueName(), (message) => {
    if (message === null) return;
    moved += 1;
    channel.sendToQueue(farm.queueName({ OSFamily: 'macos' }), message.content, message.properties);
    channel.ack(message);
  });
  // It is refused, offered again, moved again, and refused again.
  await expect.poll(() => moved, PATIENCE).toBe(2);
  const behind = await farm.execute('behind', 0, { OSFamily: 'macos' });
  await expect.poll(() => misfits.filter(({ leases }) => leases.length > 0), PATIENCE).toHaveLength(2);
  expect(moved).toBe(2);
  await channel.cancel(consumerTag);
  const depth = async () => (await channel.checkQueue(farm.queueName())).messageCount;
  await farm.until('the next look has offered it again', async () => (await depth()) > 0);
  expect([client, other, behind].map(({ ended }) => ended)).toEqual([false, false, false]);
});

test('messages that are moved are missed though their queue is never empty, once a younger one is handed out', async () => {
  await start();
  await farm.execute('older');
  await farm.execute('lost');
  const older = await channel.get(farm.queueName());
  await channel.get(farm.queueName(), { noAck: true });
  if (older === false) throw new Error('no message');
  channel.nack(older);
  await farm.bot();
  await farm.front.clock.advance(GRACE_MS * 2);
  await farm.execute('younger');
  await farm.execute('youngest');
  const interest = { instanceName: farm.instanceName, capability: new Map([['OSFamily', new Set(['linux'])]]) };
  // As a replica that dies with what it was handed.
  for (let i = 0; i < 2; i++) (await farm.broker.takeNow(interest, never))?.acknowledge();
  // Those that were handed out are there again, and so is the lost one.
  const depth = async () => (await channel.checkQueue(farm.queueName())).messageCount;
  await farm.until('all are there again', async () => (await depth()) === 3);
  expect(await depth()).toBe(3);
});

test('a message that names another queue than its job has brings no bot a lease that it does not fit', async () => {
  await start();
  const client = await farm.execute('forged', 0, { OSFamily: 'macos' });
  const forged = {
    ...(await farm.workOf(client)),
    requirement: createRequirement([{ name: 'OSFamily', value: 'linux' }]),
  };
  await farm.execute('honest');
  channel.publish(WORK_EXCHANGE, farm.queueName(), encodeWork(forged), { priority: 9 });
  const bot = await farm.bot();
  void bot.update();
  await farm.leased(bot, 1);
  const { jobId } = await farm.workOf(client);
  expect(bot.leases[0]?.id).not.toContain(jobId);
  const job = await farm.front.jobs.get(jobId, never);
  expect(job).toMatchObject({ state: 'queued', failedAttempts: [{ reason: 'its work message named another queue' }] });
});
