import { EventEmitter } from 'node:events';
import type { Channel, ChannelModel } from 'amqplib';
import { expect, test } from 'vitest';
import { closeWithBroker } from './close-with-broker.ts';
import { withChannel } from './with-channel.ts';

/** As the library has it: where the connection dies meanwhile only the event says that a channel is gone. */
function dyingChannel(): Channel {
  const channel = Object.assign(new EventEmitter(), {
    close: () => {
      setImmediate(() => channel.emit('close'));
      return new Promise<void>(() => {});
    },
  });
  return channel as unknown as Channel;
}

test('closing ends though the connection dies while the broker is to confirm it', async () => {
  await expect(closeWithBroker(dyingChannel())).resolves.toBeUndefined();
});

test.each([
  [
    'throws',
    () => {
      throw new Error('Channel closed');
    },
  ],
  ['fails', () => Promise.reject(new Error('Channel closed'))],
  ['succeeds', () => Promise.resolve()],
])('closing ends where the library %s', async (_, close) => {
  const channel = Object.assign(new EventEmitter(), { close }) as unknown as Channel;
  await expect(closeWithBroker(channel)).resolves.toBeUndefined();
});

test('what was done on a channel is told, though the connection dies while the channel is being closed', async () => {
  const model = { createChannel: async () => dyingChannel() } as Partial<ChannelModel> as ChannelModel;
  expect(await withChannel(model, async () => 'done')).toBe('done');
});
