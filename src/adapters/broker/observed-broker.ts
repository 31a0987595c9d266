import type { WorkMessage, WorkQueueName } from '../../domain/work.ts';
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
} from '../../ports/broker.ts';

/** Hears of what a replica tells its broker. Must not throw. */
export interface BrokerObserver {
  /** A job has changed, by an event that this replica applied. */
  jobChanged(event: JobEventMessage): void;
  /** A job was given up. */
  deadLettered(letter: DeadLetter): void;
}

/** Passes everything on, and tells of the changes of jobs: for metrics. */
export class ObservedBroker implements Broker {
  readonly #inner: Broker;
  readonly #observer: BrokerObserver;

  constructor(inner: Broker, observer: BrokerObserver) {
    this.#inner = inner;
    this.#observer = observer;
  }

  offerWork(work: WorkMessage, signal: AbortSignal): Promise<void> {
    return this.#inner.offerWork(work, signal);
  }

  withdrawWork(queue: WorkQueueName, jobId: string): void {
    this.#inner.withdrawWork(queue, jobId);
  }

  findLost<Offered extends OfferedWork>(
    queue: WorkQueueName,
    offered: readonly Offered[],
    signal: AbortSignal,
  ): Promise<readonly Offered[]> {
    return this.#inner.findLost(queue, offered, signal);
  }

  onReturned(listener: (returned: ReturnedWork) => Promise<void>): () => void {
    return this.#inner.onReturned(listener);
  }

  takeNow(interest: WorkInterest, signal: AbortSignal): Promise<WorkDelivery | undefined> {
    return this.#inner.takeNow(interest, signal);
  }

  takeNext(interest: WorkInterest, signal: AbortSignal): Promise<WorkDelivery> {
    return this.#inner.takeNext(interest, signal);
  }

  setPaused(queue: WorkQueueName, paused: boolean, signal: AbortSignal): Promise<void> {
    return this.#inner.setPaused(queue, paused, signal);
  }

  queues(signal: AbortSignal): Promise<readonly WorkQueueState[]> {
    return this.#inner.queues(signal);
  }

  publishUpdate(replicaIds: readonly string[], update: ReplicaUpdate, patience?: number): void {
    this.#inner.publishUpdate(replicaIds, update, patience);
  }

  onUpdate(replicaId: string, listener: (update: ReplicaUpdate) => void): () => void {
    return this.#inner.onUpdate(replicaId, listener);
  }

  /** The observer wants them, whoever else does. */
  get eventsWanted(): boolean {
    return true;
  }

  publishEvent(event: JobEventMessage): void {
    this.#observer.jobChanged(event);
    if (this.#inner.eventsWanted) this.#inner.publishEvent(event);
  }

  publishDeadLetter(letter: DeadLetter): Promise<void> {
    this.#observer.deadLettered(letter);
    return this.#inner.publishDeadLetter(letter);
  }
  visitDeadLetters(
    visit: (letter: DeadLetter) => Promise<'keep' | 'remove'>,
    limit: number,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#inner.visitDeadLetters(visit, limit, signal);
  }

  redeliver(work: WorkMessage, signal: AbortSignal): Promise<void> {
    return this.#inner.redeliver(work, signal);
  }

  onRedelivery(listener: (work: WorkMessage) => Promise<void>): () => void {
    return this.#inner.onRedelivery(listener);
  }
}
