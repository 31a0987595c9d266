import type { ChannelModel, Options } from 'amqplib';
import type { ConnectionUser } from './connection.ts';
import {
  DEAD_EXCHANGE,
  DEAD_QUEUE,
  EVENTS_EXCHANGE,
  REDELIVER_EXCHANGE,
  REDELIVER_QUEUE,
  RETURNED_EXCHANGE,
  RETURNED_QUEUE,
  UPDATES_EXCHANGE,
  WORK_EXCHANGE,
} from './names.ts';
import { withChannel } from './with-channel.ts';

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

/** Letters that nobody reads must not pile up for ever: the oldest go. */
const MOST_LETTERS = 10_000;

/** Queues that are there from the start, each with an exchange of its own. */
const SHARED_QUEUES: ReadonlyArray<readonly [exchange: string, queue: string, options: Options.AssertQueue]> = [
  [RETURNED_EXCHANGE, RETURNED_QUEUE, {}],
  [DEAD_EXCHANGE, DEAD_QUEUE, { maxLength: MOST_LETTERS }],
  [REDELIVER_EXCHANGE, REDELIVER_QUEUE, { maxLength: MOST_LETTERS }],
];

/** Declares the exchanges, and the queues that are there from the start. What the operator has declared alike is left as it is. */
export class Topology implements ConnectionUser {
  readonly name = 'topology';

  connected(model: ChannelModel): Promise<void> {
    return this.declare(model);
  }

  /** Declares whatever of it is not there. */
  async declare(model: ChannelModel): Promise<void> {
    await withChannel(model, async (channel) => {
      await channel.assertExchange(WORK_EXCHANGE, 'direct', { durable: true });
      await channel.assertExchange(UPDATES_EXCHANGE, 'direct', { durable: true });
      await channel.assertExchange(EVENTS_EXCHANGE, 'topic', { durable: true });
      for (const [exchange, queue, options] of SHARED_QUEUES) {
        await channel.assertExchange(exchange, 'fanout', { durable: true });
        await channel.assertQueue(queue, { durable: true, ...options });
        await channel.bindQueue(queue, exchange, '');
      }
    });
  }

  disconnected(): void {}
}
