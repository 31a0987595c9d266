import type { WorkQueueName } from '../domain/work.ts';

/** A work queue of the farm, as all replicas know it. */
export interface RegisteredWorkQueue {
  readonly queue: WorkQueueName;
  /** A paused queue takes work and hands out nothing. */
  readonly paused: boolean;
  /**
   * For each level of priority when the youngest message was offered that a bot was handed: what was offered before and
   * still waits has lost its message. Milliseconds since the epoch; levels that handed out nothing are left out.
   */
  readonly handedOutTo: Readonly<Record<number, number>>;
}

/**
 * Which work queues there are. A broker can list its queues only to administrators; the bots role needs the list to know
 * what an idle bot may take from, and an operator's pause must hold on every replica and through every restart.
 *
 * Rules that every implementation keeps, and that its suite checks:
 * - A queue is known by instance and requirement; adding it twice is adding it once.
 * - Of what replicas note as handed out, the youngest of each level stays.
 * - A queue that nobody has added for the configured idle time is forgotten, unless it is paused.
 */
export interface WorkQueueRegistry {
  /**
   * Says that the queue is in use. Cheap: called again and again for the same queue.
   *
   * @returns whether the farm has not known it so far.
   * @throws RESOURCE_EXHAUSTED when the farm has as many queues as the bound allows.
   */
  add(queue: WorkQueueName, signal: AbortSignal): Promise<boolean>;

  /** Pauses a queue, known or not, or lets it go on. */
  setPaused(queue: WorkQueueName, paused: boolean, signal: AbortSignal): Promise<void>;

  /** Notes what was handed out of a queue. Nothing where the queue is not known. */
  noteHandedOut(
    queue: WorkQueueName,
    handedOutTo: Readonly<Record<number, number>>,
    signal: AbortSignal,
  ): Promise<void>;

  /** Every queue, in no order. */
  list(signal: AbortSignal): Promise<readonly RegisteredWorkQueue[]>;
}
