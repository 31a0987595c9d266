import { setMaxListeners } from 'node:events';
import { type Channel, type ChannelModel, connect } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  DEAD_QUEUE,
  REDELIVER_QUEUE,
  RETURNED_QUEUE,
  updatesQueueName,
  WORK_EXCHANGE,
  workQueueName,
} from '../../src/adapters/broker/rabbitmq/names.ts';
import type { RabbitmqBroker } from '../../src/adapters/broker/rabbitmq/rabbitmq-broker.ts';
import type { ReplicaUpdate } from '../../src/ports/broker.ts';
import { consumersOf, interestOf, RabbitmqFarm, workMessage } from '../support/rabbitmq-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';

/** An operator deletes what is there from the start; replicas that are connected put it back. */
const never = new AbortController().signal;
setMaxListeners(0, never);
const PATIENCE = { timeout: 20_000, interval: 100 };
let server: RabbitmqServer;
let operator: ChannelModel;
let channel: Channel;
let farm: RabbitmqFarm;
let farms = 0;

beforeAll(async () => {
  server = await RabbitmqServer.start();
  operator = await connect(server.url);
}, 120_000);

afterAll(async () => {
  await operator?.close();
  await server[Symbol.asyncDispose]();
});

beforeEach(async () => {
  farm = await RabbitmqFarm.start(server, `deletions-${(farms += 1)}`, 2);
  channel = await operator.createChannel();
});

afterEach(async () => {
  await farm[Symbol.asyncDispose]();
  await channel.close();
});

function other(): RabbitmqBroker {
  return farm.replicas[1] as RabbitmqBroker;
}

test.each([
  [RETURNED_QUEUE, (broker: RabbitmqBroker) => broker.onReturned(async () => {})],
  [REDELIVER_QUEUE, (broker: RabbitmqBroker) => broker.onRedelivery(async () => {})],
])('queue %s is declared anew, and every replica takes from it again', async (queue, listen) => {
  const stops = farm.replicas.map(listen);
  await expect.poll(() => consumersOf(operator, queue), PATIENCE).toBe(2);
  await channel.deleteQueue(queue);
  await expect.poll(() => consumersOf(operator, queue), PATIENCE).toBe(2);
  for (const stop of stops) stop();
  await expect.poll(() => consumersOf(operator, queue), PATIENCE).toBe(0);
});

test('what a queue gives up after that reaches a replica', async () => {
  const returned: string[] = [];
  const stop = farm.replica.onReturned(async ({ work }) => {
    returned.push(work.jobId);
  });
  await expect.poll(() => consumersOf(operator, RETURNED_QUEUE), PATIENCE).toBe(1);
  await channel.deleteQueue(RETURNED_QUEUE);
  await expect.poll(() => consumersOf(operator, RETURNED_QUEUE), PATIENCE).toBe(1);
  const work = workMessage(`given-up-${farms}`, 'given-up');
  await farm.replica.offerWork(work, never);
  const message = await channel.get(workQueueName(work));
  if (message === false) throw new Error('no message');
  channel.nack(message, false, false);
  await expect.poll(() => returned, PATIENCE).toEqual(['given-up']);
  stop();
});

test('no dead letter is lost with its queue', async () => {
  await channel.deleteQueue(DEAD_QUEUE);
  await farm.replica.publishDeadLetter({ work: workMessage('', 'dead'), reason: 'given up', at: 7 });
  const seen: string[] = [];
  await farm.replica.visitDeadLetters(
    async ({ work }) => {
      seen.push(work.jobId);
      return 'remove';
    },
    10,
    never,
  );
  expect(seen).toEqual(['dead']);
});

test("a replica whose queue of updates is deleted says that updates were lost, and hears the others' again", async () => {
  const heard: ReplicaUpdate[] = [];
  const stop = other().onUpdate(`deletions-${farms}-replica-1`, (update) => heard.push(update));
  // No other connection may: it is the replica's own.
  await server.control('delete_queue', updatesQueueName(`deletions-${farms}-replica-1`));
  await expect.poll(() => heard, PATIENCE).toEqual([{ kind: 'updates-lost' }]);
  const update = { kind: 'job-changed', jobId: '00-job', version: 3 } as const;
  farm.replica.publishUpdate([`deletions-${farms}-replica-1`], update);
  await expect.poll(() => heard.slice(1), PATIENCE).toEqual([update]);
  stop();
});

test('the exchange of work is declared anew, and work finds its way again', async () => {
  const instanceName = `exchange-${farms}`;
  await farm.replica.offerWork(workMessage(instanceName, 'before'), never);
  await channel.deleteExchange(WORK_EXCHANGE);
  const offered = async () => {
    await farm.replica.offerWork(workMessage(instanceName, 'after'), never);
    return true;
  };
  await expect.poll(() => offered().catch(() => false), PATIENCE).toBe(true);
  const taken = new Set<string>();
  while (taken.size < 2) {
    const delivery = await other().takeNext(interestOf(instanceName), never);
    taken.add(delivery.work.jobId);
    delivery.acknowledge();
  }
  expect(taken).toEqual(new Set(['before', 'after']));
});
