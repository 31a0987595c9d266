import type { Channel, ChannelModel, ConsumeMessage, GetMessage } from 'amqplib';
import { type Capability, fits } from '../../../domain/platform.ts';
import type { WorkQueueName } from '../../../domain/work.ts';
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { WorkDelivery } from '../../../ports/broker.ts';
import { closeWithBroker } from './close-with-broker.ts';
import type { GetChannels, GotMessage } from './get-channels.ts';
import { decodeWork } from './messages.ts';
import { workQueueName } from './names.ts';
import type { QueueDirectory } from './queue-directory.ts';
import type { WorkQueues } from './work-queues.ts';

export interface IdleBotsOptions {
  readonly instanceName: string;
  readonly capability: Capability;
  readonly directory: QueueDirectory;
  readonly workQueues: WorkQueues;
  readonly gets: GetChannels;
  /** Whether the work queues are quorum queues, which know no limit for a whole channel. */
  readonly quorum: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How soon what could not be consumed from is tried again while bots wait, in milliseconds. */
const RETRY_DELAY_MS = 5_000;

interface Waiter {
  readonly give: (delivery: WorkDelivery) => void;
}

/**
 * The idle bots of one replica that have one instance and one capability, and the work that comes to them.
 *
 * Pull when busy, push when idle. A bot that falls idle takes a message by single gets over the queues that it fits,
 * one queue after another. Only when all are empty does it wait, and only while bots wait do consumers stand, under one
 * limit for the whole channel: messages in hand that are not settled yet, plus bots that wait. So an idle bot that fits
 * twenty queues draws one message and not twenty, a replica whose bots are all busy holds none, and nothing is
 * delivered only to be given back, but for what crosses the end of a consumer on the wire. Quorum queues know no limit for
 * a channel: there an idle bot may draw a message of each, and what is not for it goes back. Either goes back once, when the
 * consumers have gone.
 */
export class IdleBots {
  readonly #options: IdleBotsOptions;
  readonly #waiters: Waiter[] = [];
  /** Consumers by name of queue. */
  readonly #consumers = new Map<string, string>();
  /** Names of queues that can't be used for now, such as those whose node is down: they must not keep bots from others. */
  readonly #unusable = new Set<string>();
  readonly #stopListening: () => void;
  #retry: Timer | undefined;
  #channel: Channel | undefined;
  #inHand = 0;
  #limit = 0;
  /** What came, and is to be settled once consumers and limit are in line. */
  readonly #unsettled: Array<() => void> = [];
  #isReconciling = false;
  #reconciled: Promise<void> = Promise.resolve();
  #again = false;
  #turn = 0;

  constructor(options: IdleBotsOptions) {
    this.#options = options;
    this.#stopListening = options.directory.onChange(() => void this.#reconcile());
  }

  /** Whether no bot waits and no message is in hand. */
  get unused(): boolean {
    return this.#waiters.length === 0 && this.#inHand === 0;
  }

  /** Gives up the channel, once what was acknowledged on it has arrived. What is in hand still goes to others. */
  async close(): Promise<void> {
    this.#stopListening();
    this.#retry?.cancel();
    const channel = this.#channel;
    this.disconnected();
    if (channel !== undefined) await closeWithBroker(channel);
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Whether these bots may run what is in the queue. */
  fits(queue: WorkQueueName): boolean {
    const { instanceName, capability } = this.#options;
    return queue.instanceName === instanceName && fits(queue.requirement, capability);
  }

  connected(model: ChannelModel): Promise<void> {
    return this.#open(model);
  }

  disconnected(): void {
    this.#channel = undefined;
    this.#unusable.clear();
    this.#consumers.clear();
    this.#inHand = 0;
    this.#limit = 0;
  }

  /** A message that waits in any queue that these bots fit, each queue in its turn first. */
  async takeNow(signal: AbortSignal): Promise<WorkDelivery | undefined> {
    const queues = this.#fittingQueues();
    const start = this.#turn++;
    for (let i = 0; i < queues.length; i++) {
      signal.throwIfAborted();
      const queue = queues[(start + i) % queues.length];
      if (queue === undefined) continue;
      const got = await this.#get(queue);
      if (got === undefined) continue;
      const delivery = this.#deliver(got.channel, queue, got.message, false);
      if (delivery !== undefined) {
        if (!signal.aborted) return delivery;
        delivery.giveBack();
        signal.throwIfAborted();
      }
    }
    return undefined;
  }

  /** Waits for the next message. @throws the signal's reason when it is aborted first. */
  takeNext(signal: AbortSignal): Promise<WorkDelivery> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = () => {
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
        reject(signal.reason);
        void this.#reconcile();
      };
      const waiter: Waiter = {
        give: (delivery) => {
          signal.removeEventListener('abort', onAbort);
          resolve(delivery);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(waiter);
      void this.#reconcile();
    });
  }

  async #open(model: ChannelModel): Promise<void> {
    const channel = await model.createChannel();
    channel.on('error', (error: Error) => this.#options.logger.warn({ err: error }, 'RabbitMQ closed a channel'));
    channel.on('close', () => {
      if (this.#channel !== channel) return;
      this.disconnected();
      // The connection stands: a get or a consumer met a queue that has just been deleted.
      this.#options.workQueues.forgetAll();
      this.connected(model).catch(() => {});
    });
    this.#channel = channel;
    await this.#reconcile();
  }

  #fittingQueues(): WorkQueueName[] {
    const fitting: WorkQueueName[] = [];
    for (const { queue, paused } of this.#options.directory.list()) {
      if (!paused && this.fits(queue) && !this.#isUnusable(queue)) fitting.push(queue);
    }
    return fitting;
  }

  #isUnusable(queue: WorkQueueName): boolean {
    return this.#unusable.size > 0 && this.#unusable.has(workQueueName(queue));
  }

  /** The queue's name; undefined where it can't be used for now. */
  async #ensure(queue: WorkQueueName): Promise<string | undefined> {
    const channel = this.#channel;
    try {
      return await this.#options.workQueues.ensure(queue);
    } catch (error) {
      // Without a connection: whoever waits is served again once there is one.
      if (channel === undefined || this.#channel !== channel) return undefined;
      const name = workQueueName(queue);
      this.#options.logger.warn({ err: error, queue: name }, 'a work queue cannot be used; it is tried again');
      this.#unusable.add(name);
      this.#retryLater();
      return undefined;
    }
  }

  #retryLater(): void {
    this.#retry ??= this.#options.clock.setTimer(RETRY_DELAY_MS, () => {
      this.#retry = undefined;
      this.#unusable.clear();
      void this.#reconcile();
    });
  }

  async #get(queue: WorkQueueName): Promise<GotMessage | undefined> {
    const name = await this.#ensure(queue);
    return name === undefined ? undefined : await this.#options.gets.get(name);
  }

  /** The message as work in hand; undefined, and the message gone, where it is none for these bots. */
  #deliver(
    channel: Channel,
    queue: WorkQueueName,
    message: ConsumeMessage | GetMessage,
    consumed: boolean,
  ): WorkDelivery | undefined {
    const { directory, logger } = this.#options;
    const work = decodeWork(message.content);
    if (work === undefined || !this.fits(work)) {
      const why = work === undefined ? 'is not one of ours' : 'lies in a queue whose bots do not fit it';
      logger.warn({ queue: workQueueName(queue), job: work?.jobId }, `gave up a work message that ${why}`);
      channel.nack(message, false, false);
      return undefined;
    }
    if (work.requirement.key === queue.requirement.key) {
      directory.noteHandedOut(queue, message.properties.priority ?? 0, work.offeredAt);
    }
    // Gets are not counted by the broker's limit.
    if (consumed) this.#inHand += 1;
    let settled = false;
    const settle = (act: () => void) => {
      if (settled) return;
      settled = true;
      // A delivery belongs to its channel; with the channel gone, the broker has given it to someone else.
      if (!consumed) {
        if (this.#options.gets.isOpen(channel)) act();
        return;
      }
      if (this.#channel !== channel) return;
      this.#inHand -= 1;
      // The limit shrinks before the message leaves it, or the broker would send one more than bots wait.
      this.#reconcileThen(channel, act);
    };
    return {
      work,
      acknowledge: () => settle(() => channel.ack(message)),
      giveBack: () => settle(() => channel.nack(message, false, true)),
    };
  }

  #onMessage(channel: Channel, queue: WorkQueueName, message: ConsumeMessage | null): void {
    if (message === null) {
      // The queue has been deleted, or its node is down. Work for it may come again while bots wait.
      const name = workQueueName(queue);
      this.#consumers.delete(name);
      this.#options.workQueues.forget(name);
      this.#retryLater();
      return;
    }
    if (this.#channel !== channel) return;
    if (this.#waiters.length === 0) {
      // Once the consumer has gone: before, the broker would send it here again, and again, at full speed.
      this.#reconcileThen(channel, () => channel.nack(message, false, true));
      return;
    }
    const delivery = this.#deliver(channel, queue, message, true);
    if (delivery === undefined) return;
    this.#waiters.shift()?.give(delivery);
    if (this.#waiters.length === 0) void this.#reconcile();
  }

  /** Settles what came by a channel, after consumers and limit are in line with the bots that wait now. */
  #reconcileThen(channel: Channel, settle: () => void): void {
    this.#unsettled.push(() => {
      if (this.#channel === channel) settle();
    });
    void this.#reconcile();
  }

  /** Brings consumers and their limit in line with the bots that wait. One run at a time; a call during one repeats it. */
  #reconcile(): Promise<void> {
    if (this.#isReconciling) {
      this.#again = true;
    } else {
      this.#isReconciling = true;
      this.#reconciled = this.#reconcileUntilDone();
    }
    return this.#reconciled;
  }

  async #reconcileUntilDone(): Promise<void> {
    try {
      do {
        this.#again = false;
        // Taken now: bots that come and go without end must not keep a message from being settled.
        const unsettled = this.#unsettled.splice(0);
        const channel = this.#channel;
        if (channel !== undefined) await this.#tryToReconcile(channel);
        for (const settle of unsettled) settle();
      } while (this.#again);
    } finally {
      // Here and not once the promise is settled: a call in between would be lost.
      this.#isReconciling = false;
    }
  }

  async #tryToReconcile(channel: Channel): Promise<void> {
    try {
      await this.#reconcileOnce(channel);
    } catch (error) {
      if (this.#channel !== channel) return;
      this.#options.logger.warn({ err: error }, 'cannot consume from RabbitMQ');
      this.#retryLater();
    }
  }

  async #reconcileOnce(channel: Channel): Promise<void> {
    const wanted = new Map<string, WorkQueueName>();
    if (this.#waiters.length > 0) {
      for (const queue of this.#fittingQueues()) {
        const name = await this.#ensure(queue);
        if (name !== undefined) wanted.set(name, queue);
      }
    }
    for (const [queue, tag] of this.#consumers) {
      if (wanted.has(queue)) continue;
      this.#consumers.delete(queue);
      await channel.cancel(tag);
    }
    if (wanted.size === 0) return;
    const limit = this.#inHand + this.#waiters.length;
    if (limit !== this.#limit && limit > 0) {
      this.#limit = limit;
      await channel.prefetch(this.#options.quorum ? 1 : limit, !this.#options.quorum);
    }
    for (const [name, queue] of wanted) {
      if (this.#consumers.has(name) || this.#channel !== channel) continue;
      // Noted before the answer: a deleted queue's notice must find it.
      this.#consumers.set(name, '');
      const { consumerTag } = await channel.consume(name, (message) => this.#onMessage(channel, queue, message));
      if (this.#channel === channel && this.#consumers.has(name)) this.#consumers.set(name, consumerTag);
    }
  }
}
