import type { Channel, ChannelModel } from 'amqplib';
import { StatusError } from '../../../domain/status-error.ts';
import type { WorkQueueName } from '../../../domain/work.ts';
import { raceSignal } from '../../../lib/abort.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { CarrierAwayError } from '../../../ports/broker.ts';
import type { ConnectionUser } from './connection.ts';
import { WORK_EXCHANGE, workQueueName } from './names.ts';
import { type WorkQueueOptions, workQueueArguments } from './topology.ts';
import { withChannel } from './with-channel.ts';

const RETRY_DELAY_MS = 500;

/** How old a count of messages may be, in milliseconds: every job that waits asks for it now and then. */
const COUNT_LIFE_MS = 1_000;

export interface WorkQueuesOptions extends WorkQueueOptions {
  /** BrokerConnection.alarm: while it has one, the broker declares and counts nothing. */
  readonly alarm: () => AbortSignal;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Declares work queues on demand, each once for a connection: a declaration costs the broker milliseconds, and the same
 * few queues are used all the time.
 */
export class WorkQueues implements ConnectionUser {
  readonly name = 'work queues';
  readonly #options: WorkQueuesOptions;
  readonly #declared = new Map<string, Promise<void>>();
  /** Messages that wait in each queue, by when that was asked. */
  readonly #counts = new Map<
    string,
    { readonly askedAt: number; readonly waiting: Promise<number>; isZero: boolean }
  >();
  #model: ChannelModel | undefined;

  constructor(options: WorkQueuesOptions) {
    this.#options = options;
  }

  connected(model: ChannelModel): Promise<void> {
    this.#model = model;
    return Promise.resolve();
  }

  disconnected(): void {
    this.#model = undefined;
    this.#declared.clear();
    this.#counts.clear();
  }

  /**
   * Makes sure that the queue exists and is bound.
   *
   * @returns its name, which is its routing key too.
   * @throws UNAVAILABLE without a connection, and for an unknown queue when the broker has an alarm.
   */
  async ensure(queue: WorkQueueName): Promise<string> {
    const name = workQueueName(queue);
    let declared = this.#declared.get(name);
    if (declared === undefined) {
      declared = this.#declare(name);
      this.#declared.set(name, declared);
      declared.catch(() => this.#declared.delete(name));
    }
    await declared;
    return name;
  }

  /**
   * How many messages wait in the queue, up to a second ago. A queue that is not there holds none.
   *
   * @throws UNAVAILABLE without a connection, and when the broker has an alarm.
   */
  async waiting(queue: WorkQueueName): Promise<number> {
    const name = workQueueName(queue);
    const now = this.#options.clock.monotonic();
    let count = this.#counts.get(name);
    if (count === undefined || now - count.askedAt >= COUNT_LIFE_MS) {
      const asked = { askedAt: now, waiting: this.#count(name), isZero: true };
      asked.waiting.then(
        (waiting) => {
          asked.isZero = waiting === 0;
        },
        () => this.#counts.delete(name),
      );
      this.#counts.set(name, asked);
      count = asked;
    }
    return count.waiting;
  }

  /** A message has come into the queue: what was counted before it is no proof that nothing waits. */
  noteOffered(name: string): void {
    if (this.#counts.get(name)?.isZero === true) this.#counts.delete(name);
  }

  /** The queue turned out to be gone: the next use declares it again. */
  forget(name: string): void {
    this.#declared.delete(name);
  }

  /** Some queue turned out to be gone, and the broker did not say which. */
  forgetAll(): void {
    this.#declared.clear();
  }

  async #count(name: string): Promise<number> {
    const model = this.#model;
    if (model === undefined) throw new CarrierAwayError('RabbitMQ is not connected', RETRY_DELAY_MS);
    try {
      return (await this.#withChannel(model, (channel) => channel.checkQueue(name))).messageCount;
    } catch (cause) {
      if (cause instanceof StatusError) throw cause;
      // The queue is gone, and with it all that was in it. Whoever offers next declares it anew.
      if (errorCode(cause) === 404) {
        this.forget(name);
        return 0;
      }
      throw new CarrierAwayError(`cannot look into queue ${name}`, RETRY_DELAY_MS, cause);
    }
  }

  async #declare(name: string): Promise<void> {
    const model = this.#model;
    if (model === undefined) throw new CarrierAwayError('RabbitMQ is not connected', RETRY_DELAY_MS);
    try {
      await this.#withChannel(model, async (channel) => {
        await channel.assertQueue(name, workQueueArguments(this.#options));
        await channel.bindQueue(name, WORK_EXCHANGE, name);
      });
    } catch (error) {
      if (error instanceof StatusError) throw error;
      if (errorCode(error) !== 406) throw new CarrierAwayError(`cannot declare queue ${name}`, RETRY_DELAY_MS, error);
      // The operator's own declaration stands: their arguments are a choice.
      this.#options.logger.info({ queue: name }, 'the work queue exists with other arguments; using it as it is');
      await this.#withChannel(model, (channel) => channel.bindQueue(name, WORK_EXCHANGE, name));
    }
  }

  #withChannel<T>(model: ChannelModel, task: (channel: Channel) => Promise<T>): Promise<T> {
    return raceSignal(withChannel(model, task), this.#options.alarm());
  }
}

/** The reply code with which the broker closed the channel: 404 for what is not there, 406 for what is otherwise. */
function errorCode(error: unknown): unknown {
  return error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
}
