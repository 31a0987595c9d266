import { type WorkQueueName, workQueueKey } from '../../../domain/work.ts';
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { RegisteredWorkQueue, WorkQueueRegistry } from '../../../ports/work-queue-registry.ts';
import type { QueueHint } from './messages.ts';

export interface QueueDirectoryOptions {
  readonly registry: WorkQueueRegistry;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Milliseconds between two looks at the registry: how long a lost hint of a new or paused queue can cost. */
  readonly refreshEvery: number;
}

/**
 * The work queues of the farm, as this replica knows them at present.
 *
 * Idle bots ask it on their way to work, so that it answers from memory; the registry behind it is the truth.
 */
export class QueueDirectory {
  readonly #options: QueueDirectoryOptions;
  readonly #listeners = new Set<() => void>();
  #queues = new Map<string, RegisteredWorkQueue>();
  /** What was handed out here, by queue. */
  readonly #handedOut = new Map<
    string,
    { readonly queue: WorkQueueName; to: Record<number, number>; untold: boolean }
  >();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: QueueDirectoryOptions) {
    this.#options = options;
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.refresh(signal);
    this.#schedule();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  list(): Iterable<RegisteredWorkQueue> {
    return this.#queues.values();
  }

  /** Notes a queue at once, as a hint of another replica or a declaration of our own tells it. */
  note({ queue, paused }: QueueHint): void {
    const key = workQueueKey(queue);
    const known = this.#queues.get(key);
    if (known?.paused === paused) return;
    this.#queues.set(key, { queue, paused, handedOutTo: known?.handedOutTo ?? {} });
    this.#tell();
  }

  /** Notes that a bot was handed a message. Told to the registry at the next refresh. */
  noteHandedOut(queue: WorkQueueName, level: number, offeredAt: number): void {
    const key = workQueueKey(queue);
    let levels = this.#handedOut.get(key);
    if (levels === undefined) this.#handedOut.set(key, (levels = { queue, to: {}, untold: false }));
    const before = levels.to[level];
    if (before !== undefined && before >= offeredAt) return;
    levels.to[level] = offeredAt;
    levels.untold = true;
  }

  /** When the youngest message of a level was offered that any replica handed out, as far as is known here. */
  handedOutTo(queue: WorkQueueName, level: number): number | undefined {
    const key = workQueueKey(queue);
    const told = this.#queues.get(key)?.handedOutTo[level];
    const own = this.#handedOut.get(key)?.to[level];
    if (told === undefined || own === undefined) return told ?? own;
    return Math.max(told, own);
  }

  /** Reads the registry, and tells it what was handed out here. */
  async refresh(signal: AbortSignal): Promise<void> {
    for (const levels of this.#handedOut.values()) {
      if (!levels.untold) continue;
      levels.untold = false;
      await this.#options.registry.noteHandedOut(levels.queue, levels.to, signal);
    }
    const listed = await this.#options.registry.list(signal);
    const next = new Map(listed.map((each) => [workQueueKey(each.queue), each]));
    const same =
      next.size === this.#queues.size &&
      [...next].every(([key, { paused }]) => this.#queues.get(key)?.paused === paused);
    this.#queues = next;
    for (const key of this.#handedOut.keys()) if (!next.has(key)) this.#handedOut.delete(key);
    if (!same) this.#tell();
  }

  /** Calls the listener whenever a queue comes, goes, is paused or goes on. @returns how to stop it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(this.#options.refreshEvery, () => {
      this.refresh(new AbortController().signal)
        .catch((error: unknown) => this.#options.logger.warn({ err: error }, 'cannot read the list of work queues'))
        .finally(() => this.#schedule());
    });
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
