import type { ChannelModel, Options } from 'amqplib';
import type { ConnectionUser } from './connection.ts';
import {
  DEAD_EXCHANGE,
  DEAD_QUEUE,
  EVENTS_EXCHANGE,
  RETURNED_EXCHANGE,
  RETURNED_QUEUE,
  UPDATES_EXCHANGE,
  WORK_EXCHANGE,
} from './names.ts';
import { withChannel } from './publisher.ts';

/** How work queues are declared. */
export interface WorkQueueOptions {
  /** `classic` queues have priority levels; `quorum` queues are replicated over the broker's nodes. */
  readonly type: 'classic' | 'quorum';
  /** Levels of a classic queue, 1 to 255; each costs memory and CPU in the broker. */
  readonly priorityLevels: number;
  /** Milliseconds after which the broker deletes a queue that nobody publishes to by declaring it, nor consumes from. */
  readonly expires: number;
}

/**
 * The arguments of a work queue. Operators who declare queues themselves use the same ones.
 *
 * Where messages go that the queue gives up is an argument and no policy: RabbitMQ applies one policy to a queue, and an
 * operator's own, with a message-ttl and nothing else, would take the place of ours and let messages vanish.
 */
export function workQueueArguments(options: WorkQueueOptions): Options.AssertQueue {
  const common = { durable: true, expires: options.expires, deadLetterExchange: RETURNED_EXCHANGE };
  if (options.type === 'quorum') return { ...common, arguments: { 'x-queue-type': 'quorum' } };
  return { ...common, maxPriority: options.priorityLevels };
}

/** Declares the exchanges, and the queues that are there from the start. What the operator has declared alike is left as it is. */
export class Topology implements ConnectionUser {
  readonly name = 'topology';

  async connected(model: ChannelModel): Promise<void> {
    await withChannel(model, async (channel) => {
      await channel.assertExchange(WORK_EXCHANGE, 'direct', { durable: true });
      await channel.assertExchange(UPDATES_EXCHANGE, 'direct', { durable: true });
      await channel.assertExchange(EVENTS_EXCHANGE, 'topic', { durable: true });
      await channel.assertExchange(RETURNED_EXCHANGE, 'fanout', { durable: true });
      await channel.assertQueue(RETURNED_QUEUE, { durable: true });
      await channel.bindQueue(RETURNED_QUEUE, RETURNED_EXCHANGE, '');
      await channel.assertExchange(DEAD_EXCHANGE, 'fanout', { durable: true });
      await channel.assertQueue(DEAD_QUEUE, { durable: true });
      await channel.bindQueue(DEAD_QUEUE, DEAD_EXCHANGE, '');
    });
  }

  disconnected(): void {}
}
