import { resourceExhausted } from '../../../domain/status-error.ts';
import { type WorkQueueName, workQueueKey } from '../../../domain/work.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { RegisteredWorkQueue, WorkQueueRegistry } from '../../../ports/work-queue-registry.ts';

export interface InProcessWorkQueueRegistryOptions {
  readonly clock: Clock;
  /** How many queues there may be. */
  readonly maxQueues: number;
  /** Milliseconds after which a queue that nobody added again is forgotten. */
  readonly idleTimeout: number;
}

interface KnownQueue {
  readonly queue: WorkQueueName;
  readonly handedOutTo: Map<number, number>;
  paused: boolean;
  usedAt: number;
}

const RETRY_DELAY_MS = 5_000;

/** The registry of a farm that is one process. */
export class InProcessWorkQueueRegistry implements WorkQueueRegistry {
  readonly #options: InProcessWorkQueueRegistryOptions;
  readonly #queues = new Map<string, KnownQueue>();

  constructor(options: InProcessWorkQueueRegistryOptions) {
    this.#options = options;
  }

  add(queue: WorkQueueName): Promise<boolean> {
    const now = this.#options.clock.now();
    const key = workQueueKey(queue);
    const known = this.#queues.get(key);
    if (known !== undefined) {
      known.usedAt = now;
      return Promise.resolve(false);
    }
    this.#forgetIdle(now);
    const { maxQueues } = this.#options;
    if (this.#queues.size >= maxQueues) {
      return Promise.reject(
        resourceExhausted(`there are already ${maxQueues} work queues, the most that is allowed`, RETRY_DELAY_MS),
      );
    }
    this.#queues.set(key, { queue, handedOutTo: new Map(), paused: false, usedAt: now });
    return Promise.resolve(true);
  }

  setPaused(queue: WorkQueueName, paused: boolean): Promise<void> {
    const key = workQueueKey(queue);
    const known = this.#queues.get(key);
    if (known !== undefined) known.paused = paused;
    else if (paused) {
      this.#queues.set(key, { queue, handedOutTo: new Map(), paused, usedAt: this.#options.clock.now() });
    }
    return Promise.resolve();
  }

  noteHandedOut(queue: WorkQueueName, handedOutTo: Readonly<Record<number, number>>): Promise<void> {
    const known = this.#queues.get(workQueueKey(queue));
    if (known === undefined) return Promise.resolve();
    for (const [level, offeredAt] of Object.entries(handedOutTo)) {
      const before = known.handedOutTo.get(Number(level)) ?? offeredAt;
      known.handedOutTo.set(Number(level), Math.max(before, offeredAt));
    }
    return Promise.resolve();
  }

  list(): Promise<readonly RegisteredWorkQueue[]> {
    this.#forgetIdle(this.#options.clock.now());
    return Promise.resolve(
      [...this.#queues.values()].map(({ queue, paused, handedOutTo }) => ({
        queue,
        paused,
        handedOutTo: Object.fromEntries(handedOutTo),
      })),
    );
  }

  #forgetIdle(now: number): void {
    for (const [key, { paused, usedAt }] of this.#queues) {
      if (!paused && now - usedAt >= this.#options.idleTimeout) this.#queues.delete(key);
    }
  }
}
