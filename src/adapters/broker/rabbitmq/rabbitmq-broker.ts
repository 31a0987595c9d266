import type { ChannelModel } from 'amqplib';
import type { Capability } from '../../../domain/platform.ts';
import { resourceExhausted } from '../../../domain/status-error.ts';
import type { WorkMessage, WorkQueueName } from '../../../domain/work.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Service } from '../../../lib/lifecycle.ts';
import type { Logger } from '../../../lib/log.ts';
import type {
  Broker,
  DeadLetter,
  JobEventMessage,
  OfferedWork,
  ReplicaUpdate,
  ReturnedWork,
  WorkDelivery,
  WorkInterest,
  WorkQueueState,
} from '../../../ports/broker.ts';
import type { WorkQueueRegistry } from '../../../ports/work-queue-registry.ts';
import { BrokerConnection, type BrokerConnectionOptions, type ConnectionUser } from './connection.ts';
import { DeadLetters } from './dead-letters.ts';
import { GetChannels } from './get-channels.ts';
import { IdleBots } from './idle-bots.ts';
import { decodeWork, encodeWork } from './messages.ts';
import { REDELIVER_EXCHANGE, REDELIVER_QUEUE, RETURNED_QUEUE, WORK_EXCHANGE } from './names.ts';
import { priorityLevel } from './priority.ts';
import { ConfirmingPublisher, RejectedError, UnroutableError } from './publisher.ts';
import { QueueDirectory } from './queue-directory.ts';
import { type ReturnedMessage, readReturnedWork } from './returned-work.ts';
import { SharedQueue } from './shared-queue.ts';
import { Topology, type WorkQueueOptions } from './topology.ts';
import { Updates } from './updates.ts';
import { workHeaders } from './work-headers.ts';
import { WorkQueues } from './work-queues.ts';

export interface RabbitmqBrokerOptions {
  readonly connection: BrokerConnectionOptions;
  readonly queues: WorkQueueOptions;
  readonly registry: WorkQueueRegistry;
  /** Names this replica's queue of updates. */
  readonly replicaId: string;
  /**
   * Whether work messages survive a restart of the broker. Without it publishing is cheaper, and a restarted broker is
   * filled again from the job store by the sweep.
   */
  readonly persistentMessages: boolean;
  /** Messages that may wait for their confirm at once. */
  readonly maxUnconfirmed: number;
  /** Whether state changes go to the event tap. */
  readonly events: boolean;
  /** Milliseconds between two looks at the list of work queues. */
  readonly refreshQueuesEvery: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Milliseconds that a caller is asked to wait when a queue is full. */
const QUEUE_FULL_RETRY_MS = 5_000;
const UNROUTABLE_RETRY_MS = 1_000;

/**
 * By how much a message may overtake one that was offered before it, in milliseconds: replicas publish at different
 * speeds, and what is given back is handed out again.
 */
const OVERTAKING_MS = 10_000;

/** Queues that are counted at the same time; each takes a channel for a moment. */
const COUNTED_AT_ONCE = 16;

/** Different capabilities of bots before those without an idle bot are dropped; each holds a channel. */
const MOST_CAPABILITIES = 256;

/** Work, hints and the event tap over RabbitMQ. What each exchange and queue is for stands in docs/operating.md. */
export class RabbitmqBroker implements Broker, Service, ConnectionUser {
  readonly name = 'RabbitMQ broker';
  readonly #options: RabbitmqBrokerOptions;
  readonly #connection: BrokerConnection;
  readonly #publisher: ConfirmingPublisher;
  readonly #updates: Updates;
  readonly #workQueues: WorkQueues;
  readonly #gets: GetChannels;
  readonly #directory: QueueDirectory;
  readonly #returned: SharedQueue<ReturnedMessage>;
  readonly #redelivered: SharedQueue<WorkMessage>;
  readonly #deadLetters: DeadLetters;
  /** By instance and capability. */
  readonly #idleBots = new Map<string, IdleBots>();
  #model: ChannelModel | undefined;

  constructor(options: RabbitmqBrokerOptions) {
    const { logger, clock, registry } = options;
    this.#options = options;
    this.#directory = new QueueDirectory({ registry, clock, logger, refreshEvery: options.refreshQueuesEvery });
    const alarm = () => this.#connection.alarm;
    const topology = new Topology();
    this.#workQueues = new WorkQueues({ ...options.queues, alarm, clock, logger });
    this.#gets = new GetChannels({ workQueues: this.#workQueues, alarm, logger });
    this.#publisher = new ConfirmingPublisher({
      maxUnconfirmed: options.maxUnconfirmed,
      retryDelay: UNROUTABLE_RETRY_MS,
      alarm,
      topology,
      clock,
      logger,
    });
    this.#updates = new Updates({
      replicaId: options.replicaId,
      topology,
      clock,
      logger,
      onQueueHint: (hint) => this.#directory.note(hint),
    });
    this.#returned = new SharedQueue({ queue: RETURNED_QUEUE, read: readReturnedWork, topology, clock, logger });
    this.#redelivered = new SharedQueue({
      queue: REDELIVER_QUEUE,
      read: ({ content }) => decodeWork(content),
      topology,
      clock,
      logger,
    });
    this.#deadLetters = new DeadLetters(this.#publisher, topology);
    this.#connection = new BrokerConnection(options.connection, [
      topology,
      this.#workQueues,
      this.#publisher,
      this.#updates,
      this.#returned,
      this.#gets,
      this.#redelivered,
      this.#deadLetters,
      this,
    ]);
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#directory.start(signal);
    await this.#connection.start(signal);
  }

  async stop(): Promise<void> {
    this.#directory.stop();
    // The library sends what several channels have to say in no certain order: the end of the connection may overtake.
    await Promise.all([this.#updates, this.#gets, ...this.#idleBots.values()].map((each) => each.close()));
    await this.#connection.stop();
  }

  /** Whether the broker can be used now: for readiness. */
  get ready(): boolean {
    return this.#connection.ready;
  }

  async connected(model: ChannelModel): Promise<void> {
    for (const bots of this.#idleBots.values()) await bots.connected(model);
    // Not before: those that come meanwhile are met by the loop, and must not be connected twice.
    this.#model = model;
  }

  disconnected(): void {
    this.#model = undefined;
    for (const bots of this.#idleBots.values()) bots.disconnected();
  }

  async offerWork(work: WorkMessage, signal: AbortSignal): Promise<void> {
    const { registry } = this.#options;
    if (await registry.add(work, signal)) {
      const hint = { queue: work, paused: false };
      this.#directory.note(hint);
      this.#updates.publishQueueHint(hint);
    }
    try {
      await this.#publishWork(work);
    } catch (error) {
      if (!(error instanceof UnroutableError)) throw error;
      // The queue expired or was deleted since it was declared; declared anew, it takes the message.
      this.#workQueues.forget(error.routingKey);
      await this.#publishWork(work);
    }
  }

  async findLost<Offered extends OfferedWork>(
    queue: WorkQueueName,
    offered: readonly Offered[],
    signal: AbortSignal,
  ): Promise<readonly Offered[]> {
    signal.throwIfAborted();
    if ((await this.#workQueues.waiting(queue)) === 0) return offered;
    // Within one level a queue hands out in order of arrival.
    const levels = new Map<number, number | undefined>();
    return offered.filter(({ priority, offeredAt }) => {
      const level = priorityLevel(priority, this.#options.queues.priorityLevels);
      if (!levels.has(level)) levels.set(level, this.#directory.handedOutTo(queue, level));
      const handedOutTo = levels.get(level);
      return handedOutTo !== undefined && offeredAt < handedOutTo - OVERTAKING_MS;
    });
  }

  onReturned(listener: (returned: ReturnedWork) => Promise<void>): () => void {
    return this.#returned.listen(async ({ isCopy, ...returned }) => {
      if (!isCopy) await listener(returned);
    });
  }

  withdrawWork(): void {
    // A message can't be taken out of the middle of a queue. Whoever gets it finds the job over, and drops it.
  }

  takeNow(interest: WorkInterest, signal: AbortSignal): Promise<WorkDelivery | undefined> {
    return this.#botsOf(interest).takeNow(signal);
  }

  takeNext(interest: WorkInterest, signal: AbortSignal): Promise<WorkDelivery> {
    return this.#botsOf(interest).takeNext(signal);
  }

  async setPaused(queue: WorkQueueName, paused: boolean, signal: AbortSignal): Promise<void> {
    await this.#options.registry.setPaused(queue, paused, signal);
    await this.#directory.refresh(signal);
    this.#updates.publishQueueHint({ queue, paused });
  }

  async queues(signal: AbortSignal): Promise<readonly WorkQueueState[]> {
    await this.#directory.refresh(signal);
    const listed = [...this.#directory.list()];
    const states: WorkQueueState[] = [];
    for (let start = 0; start < listed.length; start += COUNTED_AT_ONCE) {
      const counted = listed.slice(start, start + COUNTED_AT_ONCE).map(async ({ queue, paused }) => {
        const waiting = await this.#workQueues.waiting(queue);
        return { queue, paused, waiting, idleBots: this.#idleBotsFor(queue) };
      });
      states.push(...(await Promise.all(counted)));
    }
    return states;
  }

  publishUpdate(replicaIds: readonly string[], update: ReplicaUpdate, patience = 0): void {
    this.#updates.publish(replicaIds, update, patience);
  }

  onUpdate(_replicaId: string, listener: (update: ReplicaUpdate) => void): () => void {
    return this.#updates.listen(listener);
  }

  get eventsWanted(): boolean {
    return this.#options.events;
  }

  publishEvent(event: JobEventMessage): void {
    this.#updates.publishEvent(event);
  }

  publishDeadLetter(letter: DeadLetter): Promise<void> {
    return this.#deadLetters.publish(letter);
  }

  visitDeadLetters(
    visit: (letter: DeadLetter) => Promise<'keep' | 'remove'>,
    limit: number,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#deadLetters.visit(visit, limit, signal);
  }

  async redeliver(work: WorkMessage, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#publisher.publish({
      exchange: REDELIVER_EXCHANGE,
      routingKey: '',
      body: encodeWork(work),
      mandatory: true,
      persistent: true,
      messageId: work.jobId,
      type: 'warren.redelivery',
      headers: workHeaders(work),
    });
  }

  onRedelivery(listener: (work: WorkMessage) => Promise<void>): () => void {
    return this.#redelivered.listen(listener);
  }

  async #publishWork(work: WorkMessage): Promise<void> {
    const { queues, persistentMessages } = this.#options;
    const routingKey = await this.#workQueues.ensure(work);
    try {
      await this.#publisher.publish({
        exchange: WORK_EXCHANGE,
        routingKey,
        body: encodeWork(work),
        mandatory: true,
        persistent: persistentMessages,
        priority: priorityLevel(work.priority, queues.priorityLevels),
        messageId: work.jobId,
        type: 'warren.work',
        headers: workHeaders(work),
      });
      this.#workQueues.noteOffered(routingKey);
    } catch (error) {
      if (!(error instanceof RejectedError)) throw error;
      throw resourceExhausted(`work queue ${routingKey} is full`, QUEUE_FULL_RETRY_MS);
    }
  }

  #botsOf(interest: WorkInterest): IdleBots {
    const key = interestKey(interest.instanceName, interest.capability);
    let bots = this.#idleBots.get(key);
    if (bots === undefined) {
      const { logger, clock, queues } = this.#options;
      bots = new IdleBots({
        ...interest,
        directory: this.#directory,
        workQueues: this.#workQueues,
        gets: this.#gets,
        quorum: queues.type === 'quorum',
        clock,
        logger,
      });
      this.#dropUnusedBots();
      this.#idleBots.set(key, bots);
      if (this.#model !== undefined) void bots.connected(this.#model).catch(() => {});
    }
    return bots;
  }

  /** Bots say what they like of themselves; capabilities that nobody has any more must not pile up. */
  #dropUnusedBots(): void {
    if (this.#idleBots.size < MOST_CAPABILITIES) return;
    for (const [key, bots] of this.#idleBots) {
      if (!bots.unused) continue;
      this.#idleBots.delete(key);
      void bots.close();
    }
  }

  #idleBotsFor(queue: WorkQueueName): number {
    let count = 0;
    for (const bots of this.#idleBots.values()) if (bots.fits(queue)) count += bots.waiting;
    return count;
  }
}

function interestKey(instanceName: string, capability: Capability): string {
  const parts = [...capability].map(([name, values]) => [name, [...values].sort()] as const);
  parts.sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([instanceName, parts]);
}
