import { connect } from 'amqplib';
import { expect, test } from 'vitest';
import { OperatedFarm } from '../support/operated-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';

/** With `persistentMessages: false` a broker that restarts comes back without what waited, and is filled again. */
const PATIENCE = { timeout: 30_000, interval: 100 };

/** Messages that wait in a queue. */
async function messagesIn(server: RabbitmqServer, queue: string): Promise<number> {
  const operator = await connect(server.url);
  try {
    return (await (await operator.createChannel()).checkQueue(queue)).messageCount;
  } finally {
    await operator.close();
  }
}

test('work that the broker forgot in a classic queue is offered again, and what a quorum queue kept is run', {
  timeout: 240_000,
}, async () => {
  await using server = await RabbitmqServer.start();
  const start = (queueType: 'classic' | 'quorum') =>
    OperatedFarm.start({
      server,
      instanceName: `transient-${queueType}`,
      queueType,
      settings: { unservedGrace: 10_000 },
      broker: { persistentMessages: false },
    });
  await using classic = await start('classic');
  await using quorum = await start('quorum');
  const farms = [classic, quorum];
  const clients = await Promise.all(farms.map((farm) => farm.execute('waits')));
  const messages = () => Promise.all(farms.map((farm) => messagesIn(server, farm.queueName())));
  await expect.poll(messages, PATIENCE).toEqual([1, 1]);
  await server.process.stop('SIGTERM');
  await server.process.start();
  await expect.poll(messages, PATIENCE).toEqual([0, 1]);
  for (const farm of farms) {
    await expect.poll(() => farm.broker.ready, PATIENCE).toBe(true);
    const bot = await farm.bot();
    void bot.update();
    await farm.leased(bot, 1);
  }
  expect(clients.map(({ ended }) => ended)).toEqual([false, false]);
});
