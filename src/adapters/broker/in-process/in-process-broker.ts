import { type Capability, createRequirement } from '../../../domain/platform.ts';
import { resourceExhausted, unavailable } from '../../../domain/status-error.ts';
import { type WorkMessage, type WorkQueueName, workQueueKey } from '../../../domain/work.ts';
import type {
  Broker,
  DeadLetter,
  JobEventMessage,
  OfferedWork,
  ReplicaUpdate,
  WorkDelivery,
  WorkInterest,
  WorkQueueState,
} from '../../../ports/broker.ts';
import { BotClass, type Waiter } from './bot-class.ts';
import { WorkQueue } from './work-queue.ts';

export interface InProcessBrokerOptions {
  /** Queues held at once: one for each requirement in use. Empty ones make room. Defaults to 10 000. */
  readonly maxQueues?: number;
  /** Classes of bots remembered. Those with no bot waiting make room. Defaults to 10 000. */
  readonly maxBotClasses?: number;
  /** Dead letters kept, the youngest. Defaults to 1 000. */
  readonly maxDeadLetters?: number;
}

/** How soon a caller who was refused for want of room should come again, in milliseconds. */
const RETRY_WHEN_FULL = 5_000;

/**
 * The broker of the embedded grid: queues in the memory of one process.
 *
 * Matching works on classes of equal bots and on heads of queues; an offer and a take cost the logarithm of what waits.
 */
export class InProcessBroker implements Broker {
  readonly #maxQueues: number;
  readonly #maxBotClasses: number;
  readonly #maxDeadLetters: number;
  readonly #queues = new Map<string, WorkQueue>();
  readonly #classes = new Map<string, BotClass>();
  readonly #classKeys = new WeakMap<Capability, string>();
  readonly #updateListeners = new Map<string, Set<(update: ReplicaUpdate) => void>>();
  readonly #eventListeners = new Set<(event: JobEventMessage) => void>();
  readonly #deadLetters: DeadLetter[] = [];
  #redeliveryListener: ((work: WorkMessage) => Promise<void>) | undefined;

  constructor(options: InProcessBrokerOptions = {}) {
    this.#maxQueues = options.maxQueues ?? 10_000;
    this.#maxBotClasses = options.maxBotClasses ?? 10_000;
    this.#maxDeadLetters = options.maxDeadLetters ?? 1_000;
  }

  async offerWork(work: WorkMessage, _signal: AbortSignal): Promise<void> {
    this.#enqueue(this.#queue(work), work);
  }

  withdrawWork(queue: WorkQueueName, jobId: string): void {
    this.#queues.get(workQueueKey(queue))?.messages.delete(jobId);
  }

  async findLost<Offered extends OfferedWork>(
    queue: WorkQueueName,
    offered: readonly Offered[],
    _signal: AbortSignal,
  ): Promise<readonly Offered[]> {
    const messages = this.#queues.get(workQueueKey(queue))?.messages;
    return offered.filter(({ jobId }) => messages?.has(jobId) !== true);
  }

  /** No queue here gives a message up. */
  onReturned(): () => void {
    return () => {};
  }

  async takeNow(interest: WorkInterest, _signal: AbortSignal): Promise<WorkDelivery | undefined> {
    return this.#takeBest(this.#class(interest));
  }

  takeNext(interest: WorkInterest, signal: AbortSignal): Promise<WorkDelivery> {
    const botClass = this.#class(interest);
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const ready = this.#takeBest(botClass);
      if (ready !== undefined) {
        resolve(ready);
        return;
      }
      const onAbort = () => {
        botClass.leave(waiter);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        deliver(delivery) {
          botClass.leave(waiter);
          signal.removeEventListener('abort', onAbort);
          resolve(delivery);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      botClass.wait(waiter);
    });
  }

  async setPaused(name: WorkQueueName, paused: boolean, _signal: AbortSignal): Promise<void> {
    const queue = this.#queue(name);
    queue.paused = paused;
    queue.announceHead();
    this.#dispatch(queue);
  }

  async queues(_signal: AbortSignal): Promise<readonly WorkQueueState[]> {
    return [...this.#queues.values()].map((queue) => {
      let idleBots = 0;
      for (const each of queue.idleClasses) idleBots += each.waiters.size;
      return { queue: queue.name, waiting: queue.messages.size, idleBots, paused: queue.paused };
    });
  }

  publishUpdate(replicaIds: readonly string[], update: ReplicaUpdate): void {
    for (const replicaId of replicaIds) {
      for (const listener of this.#updateListeners.get(replicaId) ?? []) queueMicrotask(() => listener(update));
    }
  }

  onUpdate(replicaId: string, listener: (update: ReplicaUpdate) => void): () => void {
    const listeners = this.#updateListeners.get(replicaId) ?? new Set();
    this.#updateListeners.set(replicaId, listeners);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0) this.#updateListeners.delete(replicaId);
    };
  }

  get eventsWanted(): boolean {
    return this.#eventListeners.size > 0;
  }

  publishEvent(event: JobEventMessage): void {
    for (const listener of this.#eventListeners) queueMicrotask(() => listener(event));
  }

  /** Calls the listener for every event, as a queue bound to the tap would get it. @returns how to stop it. */
  onEvent(listener: (event: JobEventMessage) => void): () => void {
    this.#eventListeners.add(listener);
    return () => this.#eventListeners.delete(listener);
  }

  async publishDeadLetter(letter: DeadLetter): Promise<void> {
    this.#deadLetters.push(letter);
    if (this.#deadLetters.length > this.#maxDeadLetters) this.#deadLetters.shift();
  }

  async visitDeadLetters(
    visit: (letter: DeadLetter) => Promise<'keep' | 'remove'>,
    limit: number,
    signal: AbortSignal,
  ): Promise<void> {
    for (const letter of this.#deadLetters.slice(0, limit)) {
      signal.throwIfAborted();
      if ((await visit(letter)) === 'keep') continue;
      const index = this.#deadLetters.indexOf(letter);
      if (index >= 0) this.#deadLetters.splice(index, 1);
    }
  }

  async redeliver(work: WorkMessage, _signal: AbortSignal): Promise<void> {
    const listener = this.#redeliveryListener;
    if (listener === undefined) throw unavailable('this server does not execute', RETRY_WHEN_FULL);
    await listener(work);
  }

  onRedelivery(listener: (work: WorkMessage) => Promise<void>): () => void {
    this.#redeliveryListener = listener;
    return () => {
      this.#redeliveryListener = undefined;
    };
  }

  /** The youngest dead letters, the oldest of them first. */
  deadLetters(): readonly DeadLetter[] {
    return [...this.#deadLetters];
  }

  #enqueue(queue: WorkQueue, work: WorkMessage): void {
    const headBefore = queue.head();
    queue.messages.set(work.jobId, work);
    this.#dispatch(queue);
    const head = queue.head();
    if (head !== headBefore) queue.announceHead();
  }

  /** Hands what waits to bots that wait. */
  #dispatch(queue: WorkQueue): void {
    while (queue.head() !== undefined) {
      const [botClass] = queue.idleClasses;
      const [waiter] = botClass?.waiters ?? [];
      if (waiter === undefined) return;
      waiter.deliver(this.#take(queue));
    }
  }

  #takeBest(botClass: BotClass): WorkDelivery | undefined {
    const queue = botClass.bestQueue();
    return queue === undefined ? undefined : this.#take(queue);
  }

  /** Takes the head, which must be there. */
  #take(queue: WorkQueue): WorkDelivery {
    const [, work] = queue.messages.pop() as readonly [string, WorkMessage];
    let held = true;
    return {
      work,
      acknowledge() {
        held = false;
      },
      giveBack: () => {
        if (!held) return;
        held = false;
        const home = this.#queue(work);
        // An offer made meanwhile is younger than what comes back.
        if (!home.messages.has(work.jobId)) this.#enqueue(home, work);
      },
    };
  }

  #queue(name: WorkQueueName): WorkQueue {
    const key = workQueueKey(name);
    const known = this.#queues.get(key);
    if (known !== undefined) return known;
    if (this.#queues.size >= this.#maxQueues) this.#dropEmptyQueues();
    const queue = new WorkQueue({ instanceName: name.instanceName, requirement: name.requirement });
    this.#queues.set(key, queue);
    for (const each of this.#classes.values()) each.meet(queue);
    return queue;
  }

  #dropEmptyQueues(): void {
    for (const [key, queue] of this.#queues) {
      if (queue.messages.size > 0 || queue.paused) continue;
      for (const each of queue.classes) each.part(queue);
      this.#queues.delete(key);
    }
    if (this.#queues.size >= this.#maxQueues) {
      throw resourceExhausted(`work waits under ${this.#maxQueues} requirements already`, RETRY_WHEN_FULL);
    }
  }

  #class(interest: WorkInterest): BotClass {
    let capabilityKey = this.#classKeys.get(interest.capability);
    if (capabilityKey === undefined) {
      capabilityKey = keyOfCapability(interest.capability);
      this.#classKeys.set(interest.capability, capabilityKey);
    }
    const key = `${interest.instanceName}\n${capabilityKey}`;
    const known = this.#classes.get(key);
    if (known !== undefined) return known;
    if (this.#classes.size >= this.#maxBotClasses) this.#dropIdleClasses();
    const made = new BotClass(interest.instanceName, interest.capability);
    this.#classes.set(key, made);
    for (const queue of this.#queues.values()) made.meet(queue);
    return made;
  }

  #dropIdleClasses(): void {
    for (const [key, each] of this.#classes) {
      if (each.waiters.size > 0) continue;
      for (const queue of each.queues) each.part(queue);
      this.#classes.delete(key);
    }
  }
}

function keyOfCapability(capability: Capability): string {
  const properties = [...capability].flatMap(([name, values]) => [...values].map((value) => ({ name, value })));
  return createRequirement(properties).key;
}
