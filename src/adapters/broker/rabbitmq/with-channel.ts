import type { Channel, ChannelModel } from 'amqplib';
import { closeWithBroker } from './close-with-broker.ts';

/** Declares what must exist, on a channel that is closed again. */
export async function withChannel<T>(model: ChannelModel, task: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await model.createChannel();
  channel.on('error', () => {});
  try {
    return await task(channel);
  } finally {
    await closeWithBroker(channel);
  }
}
