import { EventEmitter } from 'node:events';
import type { Channel, ChannelModel } from 'amqplib';
import { expect, test } from 'vitest';
import { withChannel } from './with-channel.ts';

test('what was done is told, though the connection dies while its channel is being closed', async () => {
  // As the library has it: the close is never confirmed, and only the event says that the channel is gone.
  const channel = Object.assign(new EventEmitter(), {
    close: () => {
      setImmediate(() => channel.emit('close'));
      return new Promise<void>(() => {});
    },
  });
  const model = { createChannel: async () => channel as unknown as Channel } as Partial<ChannelModel> as ChannelModel;
  expect(await withChannel(model, async () => 'done')).toBe('done');
});
