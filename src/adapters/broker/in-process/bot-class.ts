import { type Capability, fits } from '../../../domain/platform.ts';
import type { WorkMessage } from '../../../domain/work.ts';
import { IndexedHeap } from '../../../lib/indexed-heap.ts';
import type { WorkDelivery } from '../../../ports/broker.ts';
import { runsBefore, type WorkQueue } from './work-queue.ts';

/** A bot that waits. */
export interface Waiter {
  deliver(delivery: WorkDelivery): void;
}

/** All bots of one instance that offer the same: what fits one of them fits all, so that it is worked out once. */
export class BotClass {
  readonly instanceName: string;
  readonly capability: Capability;
  /** Those that wait, the longest waiting first. */
  readonly waiters = new Set<Waiter>();
  readonly queues = new Set<WorkQueue>();
  /**
   * The heads of the queues that fit. A head may have gone since, which shows when it comes up; that no better one is
   * missing is what `announceHead` sees to.
   */
  readonly queueHeads = new IndexedHeap<WorkQueue, WorkMessage>(runsBefore);

  constructor(instanceName: string, capability: Capability) {
    this.instanceName = instanceName;
    this.capability = capability;
  }

  /** Joins class and queue if the one fits the other. */
  meet(queue: WorkQueue): void {
    if (queue.name.instanceName !== this.instanceName || !fits(queue.name.requirement, this.capability)) return;
    this.queues.add(queue);
    queue.classes.add(this);
    if (this.waiters.size > 0) queue.idleClasses.add(this);
    const head = queue.head();
    if (head !== undefined) this.queueHeads.set(queue, head);
  }

  part(queue: WorkQueue): void {
    this.queues.delete(queue);
    queue.classes.delete(this);
    queue.idleClasses.delete(this);
    this.queueHeads.delete(queue);
  }

  wait(waiter: Waiter): void {
    this.waiters.add(waiter);
    if (this.waiters.size === 1) for (const queue of this.queues) queue.idleClasses.add(this);
  }

  leave(waiter: Waiter): void {
    if (!this.waiters.delete(waiter) || this.waiters.size > 0) return;
    for (const queue of this.queues) queue.idleClasses.delete(this);
  }

  /** The queue whose head is the best of all that fit. */
  bestQueue(): WorkQueue | undefined {
    for (;;) {
      const best = this.queueHeads.peek();
      if (best === undefined) return undefined;
      const [queue, noted] = best;
      const head = queue.head();
      if (head === noted) return queue;
      if (head === undefined) this.queueHeads.delete(queue);
      else this.queueHeads.set(queue, head);
    }
  }
}
