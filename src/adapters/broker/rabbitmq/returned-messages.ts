import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { type Clock, sleep } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { ReturnedWork } from '../../../ports/broker.ts';
import type { ConnectionUser } from './connection.ts';
import { decodeWork } from './messages.ts';
import { RETURNED_QUEUE } from './names.ts';

export interface ReturnedMessagesOptions {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Messages in hand at once. They come in thousands when a policy meets a long queue, and each is a step in the store. */
const IN_HAND = 50;

/** How long a message that could not be dealt with is kept from coming again, in milliseconds: the store is away. */
const AGAIN_AFTER = 2_000;

/**
 * Work messages that their queue gave up: RabbitMQ dead-letters them to one queue, from which every replica takes.
 *
 * A message is acknowledged once what it says stands in the job store. Who dies before leaves it to another.
 */
export class ReturnedMessages implements ConnectionUser {
  readonly name = 'returned messages';
  readonly #options: ReturnedMessagesOptions;
  readonly #stopping = new AbortController();
  #listener: ((returned: ReturnedWork) => Promise<void>) | undefined;
  #model: ChannelModel | undefined;
  #channel: Channel | undefined;

  constructor(options: ReturnedMessagesOptions) {
    this.#options = options;
  }

  async connected(model: ChannelModel): Promise<void> {
    this.#model = model;
    if (this.#listener !== undefined) await this.#consume(model);
  }

  disconnected(): void {
    this.#model = undefined;
    this.#channel = undefined;
  }

  /** Gives every message to the listener, one listener at a time. @returns how to stop it. */
  listen(listener: (returned: ReturnedWork) => Promise<void>): () => void {
    this.#listener = listener;
    if (this.#model !== undefined) this.#consume(this.#model).catch(() => {});
    return () => {
      this.#listener = undefined;
      this.#stopping.abort();
      const channel = this.#channel;
      this.#channel = undefined;
      channel?.close().catch(() => {});
    };
  }

  async #consume(model: ChannelModel): Promise<void> {
    const channel = await model.createChannel();
    this.#channel = channel;
    channel.on('error', (error: Error) => this.#options.logger.warn({ err: error }, 'RabbitMQ closed a channel'));
    channel.on('close', () => {
      if (this.#channel !== channel) return;
      this.#channel = undefined;
      this.#consume(model).catch(() => {});
    });
    await channel.prefetch(IN_HAND);
    await channel.consume(RETURNED_QUEUE, (message) => {
      if (message !== null) void this.#take(channel, message);
    });
  }

  async #take(channel: Channel, message: ConsumeMessage): Promise<void> {
    const { clock, logger } = this.#options;
    const work = decodeWork(message.content);
    if (work === undefined) logger.warn({}, 'dropped a returned message that is not one of ours');
    try {
      if (work !== undefined) await this.#listener?.({ work, why: whyReturned(message) });
      if (this.#channel === channel) channel.ack(message);
    } catch (error) {
      logger.warn({ err: error, job: work?.jobId }, 'could not deal with a returned message; it comes again');
      await sleep(clock, AGAIN_AFTER, this.#stopping.signal).catch(() => {});
      if (this.#channel === channel) channel.nack(message, false, true);
    }
  }
}

/** What the broker says of the last queue that gave the message up. Its header is believed no more than a body. */
function whyReturned(message: ConsumeMessage): ReturnedWork['why'] {
  const deaths: unknown = message.properties.headers?.['x-death'];
  const [last] = Array.isArray(deaths) ? (deaths as unknown[]) : [];
  const reason = typeof last === 'object' && last !== null ? (last as { reason?: unknown }).reason : undefined;
  if (reason === 'expired') return 'expired';
  return reason === 'maxlen' ? 'overflow' : 'misplaced';
}
