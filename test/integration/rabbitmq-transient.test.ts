import { expect, test } from 'vitest';
import { workQueueName } from '../../src/adapters/broker/rabbitmq/names.ts';
import { createRequirement } from '../../src/domain/platform.ts';
import { AT_ONCE } from '../support/call-context.ts';
import { RabbitmqFarm } from '../support/rabbitmq-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { TestGrid } from '../support/test-grid.ts';

/** With `persistentMessages: false` a broker that restarts comes back without what waited, and is filled again. */
const PATIENCE = { timeout: 30_000, interval: 100 };
const INSTANCE = 'transient';

test('work whose message the broker forgot is offered again', { timeout: 120_000 }, async () => {
  await using server = await RabbitmqServer.start();
  await using farm = await RabbitmqFarm.start(server, INSTANCE, 1, { persistentMessages: false });
  const settings = { abandonAfter: 86_400_000, unservedGrace: 10_000 };
  const grid = await new TestGrid({ broker: farm.replica, instanceNames: [INSTANCE], settings }).start();
  try {
    const client = grid.execute(await grid.uploadAction({ argument: 'forgotten', platform: { OSFamily: 'linux' } }), {
      instanceName: INSTANCE,
    });
    await expect.poll(() => client.name, PATIENCE).not.toBe('');
    const requirement = createRequirement([{ name: 'OSFamily', value: 'linux' }]);
    const queue = workQueueName({ instanceName: INSTANCE, requirement });
    const messages = async () => {
      const listed = await server.control('list_queues', 'name', 'messages');
      return Number(new RegExp(`^${queue.replace(/[.%]/g, '\\$&')}\\s+(\\d+)$`, 'm').exec(listed)?.[1]);
    };
    await expect.poll(messages, PATIENCE).toBe(1);
    await server.process.stop('SIGTERM');
    await server.process.start();
    expect(await messages()).toBe(0);
    await expect.poll(() => farm.replica.ready, PATIENCE).toBe(true);
    const bot = grid.bot('bot', { parent: INSTANCE, properties: [['OSFamily', 'linux']], deadline: 86_400_000 });
    await bot.create(AT_ONCE);
    const called = bot.update();
    await expect
      .poll(async () => {
        await grid.clock.advance(1_000);
        return bot.leases.length;
      }, PATIENCE)
      .toBe(1);
    await called;
    expect(client.ended).toBe(false);
  } finally {
    await grid.stop();
  }
});
