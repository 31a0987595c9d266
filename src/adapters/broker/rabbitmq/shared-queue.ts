import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { StatusCode } from '../../../domain/status-code.ts';
import { StatusError } from '../../../domain/status-error.ts';
import { type Clock, sleep } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { closeWithBroker } from './close-with-broker.ts';
import type { ConnectionUser } from './connection.ts';
import { LastingChannel } from './lasting-channel.ts';
import type { Topology } from './topology.ts';

export interface SharedQueueOptions<T> {
  readonly queue: string;
  /** What a message says, or undefined where it is none of ours. */
  readonly read: (message: ConsumeMessage) => T | undefined;
  readonly topology: Pick<Topology, 'declare'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Messages in hand at once. They may come in thousands, and each is a step in the store. */
const IN_HAND = 50;

/** How long a message that could not be dealt with is kept from coming again, in milliseconds: the store is away. */
const AGAIN_AFTER = 2_000;

/**
 * A queue of messages of which each is for one replica, whichever.
 *
 * A message is acknowledged once it has been dealt with. Who dies before leaves it to another. One that could not be
 * dealt with comes again while store or broker are away, and is dropped where it would fail for ever.
 */
export class SharedQueue<T> implements ConnectionUser {
  readonly name: string;
  readonly #options: SharedQueueOptions<T>;
  readonly #stopping = new AbortController();
  readonly #lasting: LastingChannel;
  #listener: ((value: T) => Promise<void>) | undefined;
  #model: ChannelModel | undefined;

  constructor(options: SharedQueueOptions<T>) {
    this.name = `queue ${options.queue}`;
    this.#options = options;
    this.#lasting = new LastingChannel({
      ...options,
      name: this.name,
      create: (model) => model.createChannel(),
      setUp: (channel) => this.#consume(channel),
    });
  }

  async connected(model: ChannelModel): Promise<void> {
    this.#model = model;
    if (this.#listener !== undefined) await this.#lasting.open(model);
  }

  disconnected(): void {
    this.#lasting.disconnected();
    this.#model = undefined;
  }

  /** Takes messages for the listener, one listener at a time. @returns how to stop it. */
  listen(listener: (value: T) => Promise<void>): () => void {
    this.#listener = listener;
    if (this.#model !== undefined) this.#lasting.open(this.#model).catch(() => {});
    return () => {
      this.#listener = undefined;
      this.#stopping.abort();
      void this.#lasting.close();
    };
  }

  async #consume(channel: Channel): Promise<void> {
    await channel.prefetch(IN_HAND);
    await channel.consume(this.#options.queue, (message) => {
      // No message is the end of the consumer: its queue has gone.
      if (message === null) void closeWithBroker(channel);
      else void this.#take(channel, message);
    });
  }

  async #take(channel: Channel, message: ConsumeMessage): Promise<void> {
    const { queue, read, clock, logger } = this.#options;
    const value = read(message);
    if (value === undefined) logger.warn({ queue }, 'dropped a message that is not one of ours');
    try {
      if (value !== undefined) await this.#listener?.(value);
    } catch (error) {
      if (isPassing(error)) {
        logger.warn({ err: error, queue }, 'could not deal with a message; it comes again');
        await sleep(clock, AGAIN_AFTER, this.#stopping.signal).catch(() => {});
        if (this.#lasting.isOpen(channel)) channel.nack(message, false, true);
        return;
      }
      // It would fail for ever.
      logger.error({ err: error, queue }, 'dropped a message that could not be dealt with');
    }
    if (this.#lasting.isOpen(channel)) channel.ack(message);
  }
}

/** Whether it may go well later: store or broker are away or full, or this replica stops. */
function isPassing(error: unknown): boolean {
  const { code } = StatusError.from(error);
  return code === StatusCode.UNAVAILABLE || code === StatusCode.RESOURCE_EXHAUSTED || code === StatusCode.CANCELLED;
}
