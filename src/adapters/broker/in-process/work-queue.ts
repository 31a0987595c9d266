import type { WorkMessage, WorkQueueName } from '../../../domain/work.ts';
import { IndexedHeap } from '../../../lib/indexed-heap.ts';
import type { BotClass } from './bot-class.ts';

/** Whether `a` runs before `b`: the lower priority number, then the older. */
export function runsBefore(a: WorkMessage, b: WorkMessage): boolean {
  return a.priority < b.priority || (a.priority === b.priority && a.queuedAt < b.queuedAt);
}

/** The work that waits under one requirement. */
export class WorkQueue {
  readonly name: WorkQueueName;
  readonly messages = new IndexedHeap<string, WorkMessage>(runsBefore);
  /** Classes of bots that fit, and those of them with a bot that waits. */
  readonly classes = new Set<BotClass>();
  readonly idleClasses = new Set<BotClass>();
  paused = false;

  constructor(name: WorkQueueName) {
    this.name = name;
  }

  /** What this queue hands out next. */
  head(): WorkMessage | undefined {
    return this.paused ? undefined : this.messages.peek()?.[1];
  }

  /** Tells the classes that fit of a new, better head. */
  announceHead(): void {
    const head = this.head();
    if (head === undefined) return;
    for (const each of this.classes) each.queueHeads.set(this, head);
  }
}
