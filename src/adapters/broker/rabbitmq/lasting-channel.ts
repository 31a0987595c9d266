import type { Channel, ChannelModel } from 'amqplib';
import { type Clock, sleep } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { closeWithBroker } from './close-with-broker.ts';
import type { Topology } from './topology.ts';

export interface LastingChannelOptions<C extends Channel> {
  /** For the log: what the channel is for. */
  readonly name: string;
  readonly create: (model: ChannelModel) => Promise<C>;
  /** Makes the channel what it is for: its queues, its consumer. Called for each new channel, before it counts as open. */
  readonly setUp: (channel: C) => Promise<void> | void;
  /** A channel has been set up. */
  readonly onOpened?: () => void;
  /** The channel has gone alone, without its connection. */
  readonly onClosed?: () => void;
  readonly topology: Pick<Topology, 'declare'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How long passes between two attempts to open a channel again that was closed alone, in milliseconds. */
const AGAIN_AFTER = 1_000;

/**
 * A channel that is opened again as long as its connection lives.
 *
 * RabbitMQ closes a channel on which somebody names what an operator has deleted, and tells consumers whose queue was
 * deleted. So before the next channel everything that is there from the start is declared anew.
 */
export class LastingChannel<C extends Channel = Channel> {
  readonly #options: LastingChannelOptions<C>;
  #life = new AbortController();
  /** The one that lives, be it set up or not. */
  #living: C | undefined;
  #isSetUp = false;

  constructor(options: LastingChannelOptions<C>) {
    this.#options = options;
  }

  /** The channel, set up; undefined while there is none. */
  get channel(): C | undefined {
    return this.#isSetUp ? this.#living : undefined;
  }

  /** Whether what came by the channel can still be settled; if not, the broker gives it to others. */
  isOpen(channel: Channel): boolean {
    return this.#living === channel;
  }

  /** Opens the channel on a new connection. @throws when it could not be opened: the connection is not whole. */
  async open(model: ChannelModel): Promise<void> {
    this.disconnected();
    this.#life = new AbortController();
    await this.#open(model, this.#life.signal);
  }

  /** The connection has gone, and the channel with it. */
  disconnected(): void {
    this.#life.abort();
    this.#living = undefined;
    this.#isSetUp = false;
  }

  /** Gives up the channel, also one that is just being opened. Resolves once what was sent on it has arrived. */
  async close(): Promise<void> {
    const channel = this.#living;
    this.disconnected();
    if (channel !== undefined) await closeWithBroker(channel);
  }

  async #open(model: ChannelModel, life: AbortSignal): Promise<void> {
    const { name, create, setUp, onOpened, onClosed, logger } = this.#options;
    const channel = await create(model);
    if (life.aborted) {
      void closeWithBroker(channel);
      return;
    }
    this.#living = channel;
    channel.on('error', (error: Error) => logger.warn({ err: error, channel: name }, 'RabbitMQ closed a channel'));
    channel.on('close', () => {
      if (this.#living !== channel) return;
      const wasSetUp = this.#isSetUp;
      this.#living = undefined;
      this.#isSetUp = false;
      onClosed?.();
      if (wasSetUp) void this.#openAgain(model, life);
    });
    try {
      await setUp(channel);
    } catch (cause) {
      if (this.#living === channel) this.#living = undefined;
      void closeWithBroker(channel);
      if (life.aborted) return;
      throw cause;
    }
    if (life.aborted) return;
    if (this.#living !== channel) throw new Error(`RabbitMQ closed the channel of ${name} at once`);
    this.#isSetUp = true;
    onOpened?.();
  }

  async #openAgain(model: ChannelModel, life: AbortSignal): Promise<void> {
    const { name, topology, clock, logger } = this.#options;
    // A connection that breaks closes its channels first, and says so then.
    await new Promise((resolve) => setImmediate(resolve));
    while (!life.aborted) {
      try {
        await topology.declare(model);
        await this.#open(model, life);
        return;
      } catch (cause) {
        if (life.aborted) return;
        logger.warn({ err: cause, channel: name }, 'could not open a channel again; the next attempt may');
        await sleep(clock, AGAIN_AFTER, life).catch(() => {});
      }
    }
  }
}
