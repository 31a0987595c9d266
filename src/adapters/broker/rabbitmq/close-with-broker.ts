import type { Channel, ChannelModel } from 'amqplib';

/**
 * Gives up a channel, or a connection with all of its channels; what was under way is handed out again.
 *
 * Resolves once it has closed, be it that it had closed already, or that the connection dies meanwhile: the library's own
 * promise never settles then, and a shut-down would wait for it.
 */
export function closeWithBroker(closing: Channel | ChannelModel): Promise<void> {
  return new Promise((resolve) => {
    closing.once('close', () => resolve());
    const close = async () => closing.close();
    close().then(resolve, () => resolve());
  });
}
