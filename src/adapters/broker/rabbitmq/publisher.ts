import type { ChannelModel, ConfirmChannel, Message, Options } from 'amqplib';
import { resourceExhausted } from '../../../domain/status-error.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { CarrierAwayError } from '../../../ports/broker.ts';
import type { ConnectionUser } from './connection.ts';
import { LastingChannel } from './lasting-channel.ts';
import type { Topology } from './topology.ts';

/** A message to publish. */
export interface Publication {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Uint8Array;
  /** Whether a message that no queue takes comes back as an error; else it is dropped. */
  readonly mandatory: boolean;
  readonly persistent: boolean;
  /** 0 to 255, of the queue's levels. Defaults to 0. */
  readonly priority?: number;
  readonly messageId?: string;
  readonly type?: string;
  /** What an operator filters by in the console. */
  readonly headers?: Readonly<Record<string, string | number>>;
}

/** No queue is bound for the message. */
export class UnroutableError extends Error {
  readonly routingKey: string;

  constructor(exchange: string, routingKey: string) {
    super(`no queue takes messages of exchange '${exchange}' with routing key '${routingKey}'`);
    this.name = 'UnroutableError';
    this.routingKey = routingKey;
  }
}

/** The broker refused the message: as a rule a queue is full and its policy says reject-publish. */
export class RejectedError extends Error {
  constructor(exchange: string, routingKey: string) {
    super(`RabbitMQ rejected a message for exchange '${exchange}' with routing key '${routingKey}'`);
    this.name = 'RejectedError';
  }
}

export interface PublisherOptions {
  /**
   * Messages that may wait for their confirm at once. More are refused with RESOURCE_EXHAUSTED: a slow broker must not
   * become growing memory.
   */
  readonly maxUnconfirmed: number;
  /** Milliseconds that a refused caller is asked to wait. */
  readonly retryDelay: number;
  /** BrokerConnection.alarm: while it has one, the broker takes nothing. */
  readonly alarm: () => AbortSignal;
  readonly topology: Pick<Topology, 'declare'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Publishes in confirm mode, many messages at a time.
 *
 * Each publication resolves by its own confirm; nobody waits for anybody else's, since a confirm at a time is an order
 * of magnitude slower and pipelined confirms cost nothing. When the connection breaks, or an alarm blocks it for nobody
 * knows how long, every message that is unconfirmed fails with CarrierAwayError: whoever sent it has it in an outbox, or
 * can do without.
 */
export class ConfirmingPublisher implements ConnectionUser {
  readonly name = 'publisher';
  readonly #options: PublisherOptions;
  readonly #lasting: LastingChannel<ConfirmChannel>;
  #model: ChannelModel | undefined;
  readonly #waiting = new Map<
    string,
    { readonly publication: Publication; returned: boolean; settle: (error?: Error) => void }
  >();
  #sequence = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#lasting = new LastingChannel({
      ...options,
      name: this.name,
      create: (model) => model.createConfirmChannel(),
      setUp: (channel) => {
        channel.on('return', (message: Message) => this.#onReturn(message));
      },
      onClosed: () => this.#failAll('RabbitMQ closed the channel'),
    });
  }

  /** Messages without their confirm. */
  get unconfirmed(): number {
    return this.#waiting.size;
  }

  async connected(model: ChannelModel): Promise<void> {
    this.#model = model;
    model.on('blocked', () => {
      if (this.#model === model) this.#failAll('RabbitMQ takes no messages');
    });
    await this.#lasting.open(model);
  }

  disconnected(): void {
    this.#lasting.disconnected();
    this.#model = undefined;
    this.#failAll('the connection to RabbitMQ broke');
  }

  /**
   * Resolves once the broker has the message.
   *
   * @throws UnroutableError, RejectedError; CarrierAwayError without a connection; StatusError UNAVAILABLE with RetryInfo
   *   while the broker is blocked, RESOURCE_EXHAUSTED with RetryInfo when too many messages are unconfirmed.
   */
  publish(publication: Publication): Promise<void> {
    const { maxUnconfirmed, retryDelay } = this.#options;
    const { channel } = this.#lasting;
    if (channel === undefined) return Promise.reject(new CarrierAwayError('RabbitMQ is not connected', retryDelay));
    const alarm = this.#options.alarm();
    if (alarm.aborted) return Promise.reject(alarm.reason);
    if (this.#waiting.size >= maxUnconfirmed) {
      return Promise.reject(
        resourceExhausted(`${maxUnconfirmed} messages already wait for RabbitMQ to confirm them`, retryDelay),
      );
    }
    const tag = String((this.#sequence += 1));
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        if (!this.#waiting.delete(tag)) return;
        if (error === undefined) resolve();
        else reject(error);
      };
      const entry = { publication, returned: false, settle };
      this.#waiting.set(tag, entry);
      const { exchange, routingKey, body } = publication;
      try {
        channel.publish(exchange, routingKey, asBuffer(body), publishOptions(publication, tag), (error: unknown) => {
          // A returned message comes back before its confirm.
          if (entry.returned) settle(new UnroutableError(exchange, routingKey));
          else if (error === null || error === undefined) settle();
          else settle(isRefusal(error) ? new RejectedError(exchange, routingKey) : this.#lost());
        });
      } catch (cause) {
        settle(new CarrierAwayError('RabbitMQ closed the channel', retryDelay, cause));
      }
    });
  }

  #onReturn(message: Message): void {
    const tag: unknown = message.properties.headers?.['warren-publication'];
    const entry = typeof tag === 'string' ? this.#waiting.get(tag) : undefined;
    if (entry !== undefined) entry.returned = true;
  }

  #failAll(reason: string): void {
    for (const entry of this.#waiting.values()) entry.settle(new CarrierAwayError(reason, this.#options.retryDelay));
  }

  #lost(): CarrierAwayError {
    return new CarrierAwayError('the connection to RabbitMQ broke', this.#options.retryDelay);
  }
}

/**
 * Whether the broker refused a message. The library calls back with an error also for what was under way when a channel
 * closed, before it says that it did; its text alone tells one from the other.
 */
function isRefusal(error: unknown): boolean {
  return error instanceof Error && error.message === 'message nacked';
}

function publishOptions(publication: Publication, tag: string): Options.Publish {
  const { mandatory, persistent, priority, messageId, type, headers } = publication;
  return {
    mandatory,
    persistent,
    contentType: 'application/json',
    ...(priority === undefined ? {} : { priority }),
    ...(messageId === undefined ? {} : { messageId }),
    ...(type === undefined ? {} : { type }),
    headers: mandatory ? { ...headers, 'warren-publication': tag } : { ...headers },
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
