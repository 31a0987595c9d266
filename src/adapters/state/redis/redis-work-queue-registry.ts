import { createRequirement, type Property } from '../../../domain/platform.ts';
import { resourceExhausted } from '../../../domain/status-error.ts';
import { type WorkQueueName, workQueueKey } from '../../../domain/work.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { RegisteredWorkQueue, WorkQueueRegistry } from '../../../ports/work-queue-registry.ts';
import type { RedisConnection, ScriptArgument, ScriptReply } from './redis-connection.ts';

export interface RedisWorkQueueRegistryOptions {
  readonly connection: RedisConnection;
  /** Begins every key; without braces. */
  readonly keyPrefix: string;
  /** How many queues there may be. */
  readonly maxQueues: number;
  /** Milliseconds after which a queue that nobody added again is forgotten. */
  readonly idleTimeout: number;
  /** For how long a queue needs not be named again. */
  readonly clock: Clock;
  /** For tests: the time, in milliseconds, in place of Redis' own. */
  readonly now?: () => number;
}

interface QueueJson {
  readonly instanceName: string;
  readonly properties: readonly Property[];
}

const RETRY_DELAY_MS = 5_000;

/** A queue that this process has just named is not named again for this part of the idle time. */
const QUIET_PART = 0.05;

/** The registry of work queues in Redis: what every replica knows. */
export class RedisWorkQueueRegistry implements WorkQueueRegistry {
  readonly #options: RedisWorkQueueRegistryOptions;
  readonly #keys: readonly string[];
  readonly #addedAt = new Map<string, number>();

  constructor(options: RedisWorkQueueRegistryOptions) {
    this.#options = options;
    this.#keys = ['queues', 'used', 'paused', 'handed-out'].map((each) => `${options.keyPrefix}{queues}:${each}`);
  }

  async add(queue: WorkQueueName, signal: AbortSignal): Promise<boolean> {
    const { connection, clock, idleTimeout, maxQueues } = this.#options;
    const key = workQueueKey(queue);
    const addedAt = this.#addedAt.get(key);
    const at = clock.monotonic();
    if (addedAt !== undefined && at - addedAt < idleTimeout * QUIET_PART) return false;
    const args = [...this.#commonArguments(), key, encodeQueue(queue), maxQueues];
    const result = String(await connection.run('queue-add', this.#keys, args, signal));
    if (result === 'full') {
      throw resourceExhausted(`there are already ${maxQueues} work queues, the most that is allowed`, RETRY_DELAY_MS);
    }
    // There may be none but the registry's own: the rest were forgotten since.
    if (this.#addedAt.size >= maxQueues) this.#addedAt.clear();
    this.#addedAt.set(key, at);
    return result === 'new';
  }

  async setPaused(queue: WorkQueueName, paused: boolean, signal: AbortSignal): Promise<void> {
    const args = [...this.#commonArguments(), workQueueKey(queue), encodeQueue(queue), Number(paused)];
    await this.#options.connection.run('queue-pause', this.#keys, args, signal);
  }

  async noteHandedOut(
    queue: WorkQueueName,
    handedOutTo: Readonly<Record<number, number>>,
    signal: AbortSignal,
  ): Promise<void> {
    const pairs = Object.entries(handedOutTo).flat();
    const args = [...this.#commonArguments(), workQueueKey(queue), ...pairs];
    await this.#options.connection.run('queue-handed-out', this.#keys, args, signal);
  }

  async list(signal: AbortSignal): Promise<readonly RegisteredWorkQueue[]> {
    const reply = await this.#options.connection.run('queue-list', this.#keys, this.#commonArguments(), signal);
    const rows = reply as readonly ScriptReply[];
    const listed = Array.from({ length: rows.length / 3 }, (_, i) => ({
      queue: decodeQueue(String(rows[3 * i])),
      paused: rows[3 * i + 1] === 1,
      handedOutTo: JSON.parse(String(rows[3 * i + 2])) as Record<number, number>,
    }));
    // A Redis that lost its data must hear of them again.
    const known = new Set(listed.map(({ queue }) => workQueueKey(queue)));
    for (const key of this.#addedAt.keys()) if (!known.has(key)) this.#addedAt.delete(key);
    return listed;
  }

  #commonArguments(): readonly ScriptArgument[] {
    return [this.#options.now?.() ?? '', this.#options.idleTimeout];
  }
}

function encodeQueue({ instanceName, requirement }: WorkQueueName): string {
  const json: QueueJson = { instanceName, properties: requirement.properties };
  return JSON.stringify(json);
}

function decodeQueue(json: string): WorkQueueName {
  const { instanceName, properties } = JSON.parse(json) as QueueJson;
  return { instanceName, requirement: createRequirement(properties) };
}
