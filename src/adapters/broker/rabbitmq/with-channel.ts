import type { Channel, ChannelModel } from 'amqplib';

/** Declares what must exist, on a channel that is closed again. */
export async function withChannel<T>(model: ChannelModel, task: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await model.createChannel();
  channel.on('error', () => {});
  try {
    return await task(channel);
  } finally {
    await closed(channel);
  }
}

/** Resolves also when the connection dies while the channel is being closed: the library's own promise never does. */
function closed(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    channel.once('close', () => resolve());
    channel.close().then(resolve, () => resolve());
  });
}
