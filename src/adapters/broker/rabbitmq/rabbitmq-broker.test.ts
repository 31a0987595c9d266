import { EventEmitter } from 'node:events';
import type { ChannelModel } from 'amqplib';
import { expect, test } from 'vitest';
import { interestOf } from '../../../../test/support/rabbitmq-farm.ts';
import { Deferred } from '../../../lib/deferred.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { InProcessWorkQueueRegistry } from '../../queue-registry/in-process/in-process-work-queue-registry.ts';
import { RabbitmqBroker } from './rabbitmq-broker.ts';

const signal = new AbortController().signal;

function createBroker(clock: FakeClock): RabbitmqBroker {
  return new RabbitmqBroker({
    connection: {
      addresses: [{ host: '127.0.0.1', port: 1 }],
      virtualHost: '/',
      username: 'guest',
      password: 'guest',
      heartbeatSeconds: 10,
      connectTimeout: 5_000,
      connectionName: 'test',
      clock,
      random: () => 0.5,
      logger: silentLogger,
    },
    queues: { type: 'classic', priorityLevels: 10, expires: 3_600_000 },
    registry: new InProcessWorkQueueRegistry({ clock, maxQueues: 10, idleTimeout: 3_600_000 }),
    replicaId: 'replica-1',
    persistentMessages: true,
    maxUnconfirmed: 10,
    events: false,
    refreshQueuesEvery: 60_000,
    clock,
    logger: silentLogger,
  });
}

test('bots of a new kind that come while a connection is set up have one channel, not two', async () => {
  const broker = createBroker(new FakeClock());
  await broker.takeNow(interestOf('main', { OSFamily: 'linux' }), signal);
  const opened: Array<Deferred<EventEmitter>> = [];
  const model = {
    createChannel: () => {
      const channel = new Deferred<EventEmitter>();
      opened.push(channel);
      return channel.promise;
    },
  } as unknown as ChannelModel;
  const connected = broker.connected(model);
  await broker.takeNow(interestOf('main', { OSFamily: 'macos' }), signal);
  for (let i = 0; i < opened.length; i++) {
    opened[i]?.resolve(new EventEmitter());
    await new Promise((resolve) => setImmediate(resolve));
  }
  await connected;
  expect(opened).toHaveLength(2);
});
