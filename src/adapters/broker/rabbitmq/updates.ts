import type { Channel, ChannelModel, Message, Options } from 'amqplib';
import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { JobEventMessage, ReplicaUpdate } from '../../../ports/broker.ts';
import { closeWithBroker } from './close-with-broker.ts';
import type { ConnectionUser } from './connection.ts';
import { EventTap } from './event-tap.ts';
import { LastingChannel } from './lasting-channel.ts';
import { decodeQueueHint, decodeUpdates, encodeQueueHint, encodeUpdates, type QueueHint } from './messages.ts';
import { EVENTS_EXCHANGE, eventRoutingKey, UPDATES_EXCHANGE, updatesQueueName } from './names.ts';
import type { Topology } from './topology.ts';
import { UpdateOutbox } from './update-outbox.ts';

/** Bound on bytes that wait for a slow socket. Hints beyond it are dropped: whoever misses one looks by itself in time. */
const MOST_HINTS_WAITING = 10_000;
const QUEUE_HINT_KEY = 'queue-declared';

export interface UpdatesOptions {
  readonly replicaId: string;
  readonly topology: Pick<Topology, 'declare'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onQueueHint: (hint: QueueHint) => void;
}

/**
 * Hints between replicas, and the tap for operators.
 *
 * One exclusive queue for each replica, bound by its id. Never a binding for each operation (binding costs the broker
 * more than everything else that an action costs it), never a broadcast of a job's state to all. A hint is published
 * without confirm, since losing it costs no more than time, and updates for this replica itself never leave it. Events
 * that nobody taps are held back.
 *
 * What is lost while the broker is away would leave clients waiting for the next look at the job store. So updates for
 * others wait for the connection, and listeners hear when it was gone for a time.
 */
export class Updates implements ConnectionUser {
  readonly name = 'updates';
  readonly #options: UpdatesOptions;
  readonly #tap: EventTap;
  readonly #outbox: UpdateOutbox;
  readonly #lasting: LastingChannel;
  readonly #listeners = new Set<(update: ReplicaUpdate) => void>();
  /** Messages for other replicas that wait for a connection. */
  readonly #waiting: Array<{ readonly routingKey: string; readonly body: Buffer; readonly options: Options.Publish }> =
    [];
  #wasConnected = false;
  #congested = false;
  #dropped = 0;

  constructor(options: UpdatesOptions) {
    this.#options = options;
    this.#tap = new EventTap(options.clock);
    this.#outbox = new UpdateOutbox({
      clock: options.clock,
      send: ([first = '', ...rest], updates) => {
        this.#send(UPDATES_EXCHANGE, first, encodeUpdates(updates), rest.length === 0 ? {} : { CC: rest });
      },
    });
    this.#lasting = new LastingChannel({
      ...options,
      name: this.name,
      create: (model) => model.createChannel(),
      setUp: (channel) => this.#consume(channel),
      onOpened: () => this.#catchUp(),
    });
  }

  connected(model: ChannelModel): Promise<void> {
    return this.#lasting.open(model);
  }

  async #consume(channel: Channel): Promise<void> {
    channel.on('return', (message: Message) => this.#tap.returned(message.fields.routingKey));
    channel.on('drain', () => {
      this.#congested = false;
    });
    const queue = updatesQueueName(this.#options.replicaId);
    await channel.assertQueue(queue, {
      exclusive: true,
      autoDelete: true,
      durable: false,
      arguments: { 'x-max-length': MOST_HINTS_WAITING, 'x-overflow': 'drop-head' },
    });
    await channel.bindQueue(queue, UPDATES_EXCHANGE, this.#options.replicaId);
    await channel.bindQueue(queue, EVENTS_EXCHANGE, QUEUE_HINT_KEY);
    await channel.consume(
      queue,
      (message) => {
        if (message === null) {
          // No message is the end of the consumer: its queue has gone.
          void closeWithBroker(channel);
          return;
        }
        if (message.fields.routingKey === QUEUE_HINT_KEY) {
          const hint = decodeQueueHint(message.content);
          if (hint !== undefined) this.#options.onQueueHint(hint);
          return;
        }
        for (const update of decodeUpdates(message.content) ?? []) this.#tell(update);
      },
      { noAck: true },
    );
  }

  /** Sends what has waited for a channel, and says that what came meanwhile may be lost. */
  #catchUp(): void {
    this.#congested = false;
    for (const { routingKey, body, options } of this.#waiting.splice(0)) {
      this.#send(UPDATES_EXCHANGE, routingKey, body, options);
    }
    if (this.#wasConnected) this.#tell({ kind: 'updates-lost' });
    this.#wasConnected = true;
  }

  disconnected(): void {
    this.#lasting.disconnected();
  }

  /** Sends what still waits for company, and gives up the channel once it has arrived. */
  async close(): Promise<void> {
    this.#outbox.flush();
    await this.#lasting.close();
  }

  /** Messages that were not sent because the socket was full. */
  get dropped(): number {
    return this.#dropped;
  }

  listen(listener: (update: ReplicaUpdate) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  publish(replicaIds: readonly string[], update: ReplicaUpdate, patience: number): void {
    const others = replicaIds.filter((id) => id !== this.#options.replicaId);
    if (others.length < replicaIds.length) this.#tell(update);
    if (others.length > 0) this.#outbox.add(others, update, patience);
  }

  publishEvent(event: JobEventMessage): void {
    const routingKey = eventRoutingKey(event.state, event.instanceName);
    if (!this.#tap.wants(routingKey)) return;
    this.#send(EVENTS_EXCHANGE, routingKey, Buffer.from(JSON.stringify(event)), { mandatory: true });
  }

  publishQueueHint(hint: QueueHint): void {
    this.#send(EVENTS_EXCHANGE, QUEUE_HINT_KEY, encodeQueueHint(hint), {});
  }

  /** @param options with `CC` for further routing keys: one message to the broker, whatever the number of replicas. */
  #send(exchange: string, routingKey: string, body: Buffer, options: Options.Publish): void {
    const { channel } = this.#lasting;
    if (channel === undefined && exchange === UPDATES_EXCHANGE && this.#waiting.length < MOST_HINTS_WAITING) {
      this.#waiting.push({ routingKey, body, options });
      return;
    }
    if (channel === undefined || this.#congested) {
      this.#dropped += 1;
      return;
    }
    try {
      this.#congested = !channel.publish(exchange, routingKey, body, {
        contentType: 'application/json',
        ...options,
      });
    } catch {
      this.#dropped += 1;
    }
  }

  #tell(update: ReplicaUpdate): void {
    for (const listener of this.#listeners) listener(update);
  }
}
