import { connect } from 'amqplib';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { RedisServer } from '../support/redis-server.ts';

test('a throwaway Redis keeps its data through kill -9 when it appends', async () => {
  await using server = await RedisServer.start({ appendOnly: true });
  const client = new Redis(server.url, { lazyConnect: true });
  await client.set('key', 'value');
  client.disconnect();
  await server.process.stop('SIGKILL');
  await server.process.start();
  const again = new Redis(server.url);
  expect(await again.get('key')).toBe('value');
  again.disconnect();
});

test('a throwaway RabbitMQ takes and delivers a message, and survives kill -9 with durable queues', async () => {
  await using server = await RabbitmqServer.start();
  const connection = await connect(server.url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('work', { durable: true });
  channel.sendToQueue('work', Buffer.from('hello'), { persistent: true });
  await channel.waitForConfirms();
  connection.on('error', () => {});
  await server.keepDeclarations();
  await server.kill();
  await server.process.start();
  const again = await connect(server.url);
  const reader = await again.createChannel();
  reader.on('error', () => {});
  const message = await reader.get('work');
  expect(message === false ? undefined : message.content.toString()).toBe('hello');
  await again.close();
  expect(await server.control('list_queues', 'name')).toContain('work');
});
