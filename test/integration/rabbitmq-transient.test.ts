import { connect } from 'amqplib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { OperatedFarm } from '../support/operated-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';

/** With `persistentMessages: false` a broker that restarts comes back without what waited, and is filled again. */
const PATIENCE = { timeout: 30_000, interval: 100 };
let server: RabbitmqServer;

beforeAll(async () => {
  server = await RabbitmqServer.start();
}, 120_000);

afterAll(() => server?.[Symbol.asyncDispose]());

/** Messages that wait in a queue. */
async function messagesIn(queue: string): Promise<number> {
  const operator = await connect(server.url);
  try {
    return (await (await operator.createChannel()).checkQueue(queue)).messageCount;
  } finally {
    await operator.close();
  }
}

test.each([
  ['classic', 'is forgotten, and offered again', 0],
  ['quorum', 'is kept, whatever is said of messages', 1],
] as const)('work in a %s queue of a broker that restarts %s', { timeout: 120_000 }, async (queueType, _what, kept) => {
  await using farm = await OperatedFarm.start({
    server,
    instanceName: `transient-${queueType}`,
    queueType,
    settings: { unservedGrace: 10_000 },
    broker: { persistentMessages: false },
  });
  const client = await farm.execute('waits');
  await expect.poll(() => messagesIn(farm.queueName()), PATIENCE).toBe(1);
  await server.keepDeclarations();
  await server.process.stop('SIGTERM');
  await server.process.start();
  await expect.poll(() => messagesIn(farm.queueName()), PATIENCE).toBe(kept);
  await expect.poll(() => farm.broker.ready, PATIENCE).toBe(true);
  const bot = await farm.bot();
  void bot.update();
  await farm.leased(bot, 1);
  expect(client.ended).toBe(false);
});
