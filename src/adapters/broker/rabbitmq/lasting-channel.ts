import type { Channel, ChannelModel } from 'amqplib';
import { type Clock, sleep } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { Topology } from './topology.ts';

export interface LastingChannelOptions<C extends Channel> {
  /** For the log: what the channel is for. */
  readonly name: string;
  readonly create: (model: ChannelModel) => Promise<C>;
  /** Makes the channel what it is for: its queues, its consumer. Called for each new channel, before it counts as open. */
  readonly setUp: (channel: C) => Promise<void>;
  /** The channel has gone, be it with its connection or alone. */
  readonly onClosed?: (channel: C) => void;
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

  constructor(options: LastingChannelOptions<C>) {
    this.#options = options;
  }

  /** Opens the channel on a new connection. @throws when it could not be opened: the connection is not whole. */
  async open(model: ChannelModel): Promise<void> {
    this.close();
    this.#life = new AbortController();
    await this.#open(model, this.#life.signal);
  }

  /** From now on it is not opened again: the connection has gone, or nobody needs the channel any more. */
  close(): void {
    this.#life.abort();
  }

  async #open(model: ChannelModel, life: AbortSignal): Promise<void> {
    const { name, create, setUp, onClosed, logger } = this.#options;
    const channel = await create(model);
    let [isClosed, isSetUp] = [false, false];
    channel.on('error', (error: Error) => logger.warn({ err: error, channel: name }, 'RabbitMQ closed a channel'));
    channel.on('close', () => {
      isClosed = true;
      onClosed?.(channel);
      if (isSetUp && !life.aborted) void this.#openAgain(model, life);
    });
    await setUp(channel);
    if (isClosed) throw new Error(`RabbitMQ closed the channel of ${name} at once`);
    isSetUp = true;
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

/** Ends a channel whose consumer was ended by the broker: its queue is gone. What was under way on it is handed out again. */
export function endWithConsumer(channel: Channel): void {
  channel.close().catch(() => {});
}
