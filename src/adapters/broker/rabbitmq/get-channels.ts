import type { Channel, ChannelModel, GetMessage } from 'amqplib';
import { raceSignal } from '../../../lib/abort.ts';
import type { Logger } from '../../../lib/log.ts';
import { closeWithBroker } from './close-with-broker.ts';
import type { ConnectionUser } from './connection.ts';
import type { WorkQueues } from './work-queues.ts';

export interface GetChannelsOptions {
  readonly workQueues: WorkQueues;
  /** BrokerConnection.alarm: while it has one, the broker answers no get. */
  readonly alarm: () => AbortSignal;
  readonly logger: Logger;
}

/** A message that was got, with the channel on which it is to be settled. */
export interface GotMessage {
  readonly channel: Channel;
  readonly message: GetMessage;
}

/** How many gets may be on their way at once. */
const MOST_CHANNELS = 8;

interface Slot {
  readonly channel: Promise<Channel>;
  /** Gets that are on their way, or wait for those before. */
  gets: number;
}

/**
 * Channels for single gets. The client library makes one request of a channel at a time, so that on one channel each
 * get waits for all those before it, there and back: the bots of a busy replica would stand in line.
 */
export class GetChannels implements ConnectionUser {
  readonly name = 'gets';
  readonly #options: GetChannelsOptions;
  readonly #slots: Slot[] = [];
  readonly #open = new Set<Channel>();
  #model: ChannelModel | undefined;

  constructor(options: GetChannelsOptions) {
    this.#options = options;
  }

  connected(model: ChannelModel): Promise<void> {
    this.#model = model;
    return Promise.resolve();
  }

  disconnected(): void {
    this.#model = undefined;
    this.#slots.length = 0;
    this.#open.clear();
  }

  /** Gives up the channels, once what was acknowledged on them has arrived. */
  async close(): Promise<void> {
    const open = [...this.#open];
    this.disconnected();
    await Promise.all(open.map((channel) => closeWithBroker(channel)));
  }

  /** Whether messages that came by the channel can still be settled; if not, the broker has given them to others. */
  isOpen(channel: Channel): boolean {
    return this.#open.has(channel);
  }

  /** The first message of a queue; undefined where there is none, or no queue, no connection, or an alarm. */
  async get(queue: string): Promise<GotMessage | undefined> {
    const alarm = this.#options.alarm();
    const slot = this.#leastBusy();
    if (slot === undefined || alarm.aborted) return undefined;
    const getting = this.#get(slot, queue);
    try {
      return await raceSignal(getting, alarm);
    } catch {
      // What comes when the alarm is over finds nobody any more.
      void getting.then((got) => got?.channel.nack(got.message, false, true)).catch(() => {});
      return undefined;
    }
  }

  async #get(slot: Slot, queue: string): Promise<GotMessage | undefined> {
    slot.gets += 1;
    try {
      const channel = await slot.channel;
      const message = await channel.get(queue);
      return message === false ? undefined : { channel, message };
    } catch {
      // The channel has closed: the queue was deleted, or the connection is gone.
      return undefined;
    } finally {
      slot.gets -= 1;
    }
  }

  #leastBusy(): Slot | undefined {
    const model = this.#model;
    if (model === undefined) return undefined;
    let best: Slot | undefined;
    for (const slot of this.#slots) if (best === undefined || slot.gets < best.gets) best = slot;
    if (best !== undefined && (best.gets === 0 || this.#slots.length >= MOST_CHANNELS)) return best;
    const slot: Slot = { channel: this.#openChannel(model), gets: 0 };
    this.#slots.push(slot);
    slot.channel.then(
      (channel) => channel.once('close', () => this.#remove(slot, channel)),
      () => this.#remove(slot, undefined),
    );
    return slot;
  }

  async #openChannel(model: ChannelModel): Promise<Channel> {
    const channel = await model.createChannel();
    channel.on('error', (error: Error) => this.#options.logger.warn({ err: error }, 'RabbitMQ closed a channel'));
    if (this.#model === model) this.#open.add(channel);
    return channel;
  }

  #remove(slot: Slot, channel: Channel | undefined): void {
    if (channel !== undefined && this.#open.delete(channel)) {
      // The connection stands: a get met a queue that has just been deleted.
      this.#options.workQueues.forgetAll();
    }
    const index = this.#slots.indexOf(slot);
    if (index >= 0) this.#slots.splice(index, 1);
  }
}
