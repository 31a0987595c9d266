import { createHash } from 'node:crypto';
import { deadlineSignal, linkSignals } from '../../../lib/abort.ts';
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Service } from '../../../lib/lifecycle.ts';
import type { Logger } from '../../../lib/log.ts';
import {
  type LogStreamAppend,
  type LogStreamPiece,
  type LogStreamState,
  type LogStreamStore,
  READER_LIFE,
} from '../../../ports/log-stream-store.ts';
import { type AppendRefusal, appendError } from '../../log-stream/log-stream-errors.ts';
import { LOG_STREAM_SHARDS, type LogStreamLimits } from '../../log-stream/log-streams-configuration.ts';
import { isNewsFor, Waiters } from '../../log-stream/waiters.ts';
import type { RedisConnection, ScriptArgument, ScriptReply } from './redis-connection.ts';
import type { ScriptName } from './scripts.ts';

export interface RedisLogStreamStoreOptions {
  readonly connection: RedisConnection;
  /** Begins every key; without braces. */
  readonly keyPrefix: string;
  readonly limits: LogStreamLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests: the time, in milliseconds, in place of Redis' own. */
  readonly now?: () => number;
}

/** How often streams are looked at that somebody here reads, in milliseconds: what other replicas wrote shows so late. */
const GROWTH_INTERVAL = 100;

/** How often writers that wait for a reader are looked for one, in milliseconds. */
const READER_INTERVAL = 500;

/** How many streams are looked at in one call. */
const FOLLOW_BATCH = 200;

/** How long the secret is kept without a replica that asks for it, in milliseconds. */
const SECRET_LIFE = 30 * 24 * 3_600_000;

/**
 * Log streams in Redis: written at one replica, read at any.
 *
 * Streams are divided over 16 hash slots. What a replica's own clients write wakes its own readers at once; for the rest
 * it looks after the streams that are read here, all of one slot in one call, ten times a second and only while somebody
 * reads. That needs neither a second connection nor a message for each byte, and nothing is lost by a fail-over.
 */
export class RedisLogStreamStore implements LogStreamStore, Service {
  readonly name = 'log streams';
  readonly #options: RedisLogStreamStoreOptions;
  readonly #growth = new Waiters<LogStreamState | undefined>();
  readonly #reading = new Waiters<void>();
  readonly #never = new AbortController().signal;
  #growthTimer: Timer | undefined;
  #readerTimer: Timer | undefined;
  #renewedAt = 0;
  #stopped = false;

  constructor(options: RedisLogStreamStoreOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {}

  /** Ends looking after streams. Whoever still waits is ended by its own signal. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#growthTimer?.cancel();
    this.#readerTimer?.cancel();
  }

  async create(key: string, signal: AbortSignal): Promise<void> {
    const { maximumStreams, maximumStreamBytes } = this.#options.limits;
    const most = Math.ceil(maximumStreams / LOG_STREAM_SHARDS);
    const reply = await this.#run('log-create', logStreamShard(key), [key, most], signal);
    if (String(reply) === 'full') throw appendError('full', 0, maximumStreamBytes);
  }

  async append(key: string, addition: LogStreamAppend, signal: AbortSignal): Promise<LogStreamState> {
    const { maximumStreams, maximumStreamBytes, maximumTotalBytes } = this.#options.limits;
    const { offset, data, finish, create } = addition;
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const bounds = [
      maximumStreamBytes,
      Math.floor(maximumTotalBytes / LOG_STREAM_SHARDS),
      Math.ceil(maximumStreams / LOG_STREAM_SHARDS),
    ];
    const args = [key, offset, bytes, Number(finish), Number(create), ...bounds];
    const reply = (await this.#run('log-append', logStreamShard(key), args, signal)) as readonly ScriptReply[];
    const state = { size: Number(reply[1]), finished: reply[2] === 1 };
    const outcome = String(reply[0]);
    if (outcome !== 'ok') throw appendError(outcome as AppendRefusal, state.size, maximumStreamBytes);
    this.#growth.tell(key, state);
    return state;
  }

  async state(key: string, signal: AbortSignal): Promise<LogStreamState | undefined> {
    const piece = await this.read(key, 0, 0, signal);
    return piece === undefined ? undefined : { size: piece.size, finished: piece.finished };
  }

  async read(key: string, offset: number, maxBytes: number, signal: AbortSignal): Promise<LogStreamPiece | undefined> {
    const reply = await this.#run('log-read', logStreamShard(key), [key, offset, maxBytes], signal);
    if (reply === null) return undefined;
    const [size, finished, data] = reply as readonly ScriptReply[];
    return { size: Number(size), finished: finished === 1, data: data as Buffer };
  }

  async awaitGrowth(key: string, size: number, milliseconds: number, signal: AbortSignal): Promise<void> {
    using bounded = deadlineSignal(this.#options.clock, milliseconds, signal);
    // Waits before it looks, so that what is written meanwhile is not missed.
    const news = this.#growth.wait(key, isNewsFor(size), bounded.signal).catch((cause: unknown) => {
      if (!bounded.signal.aborted) throw cause;
    });
    try {
      await this.#look(logStreamShard(key), [key], READER_LIFE, signal);
    } catch (cause) {
      bounded.abort();
      throw cause;
    }
    this.#reading.tell(key);
    this.#armGrowth();
    await news;
    signal.throwIfAborted();
  }

  async awaitReader(key: string, signal: AbortSignal): Promise<void> {
    using link = linkSignals(signal);
    const news = this.#reading.wait(key, () => true, link.signal);
    news.catch(() => {});
    try {
      await this.#lookForReaders(logStreamShard(key), signal);
    } catch (cause) {
      link.abort();
      throw cause;
    }
    this.#armReaders();
    await news;
  }

  async shareSecret(proposal: string, signal: AbortSignal): Promise<string> {
    const { connection, keyPrefix } = this.#options;
    const key = `${keyPrefix}{logs}:secret`;
    return String(await connection.run('share-secret', [key], [proposal, SECRET_LIFE], signal));
  }

  #armGrowth(): void {
    if (this.#stopped || this.#growth.isEmpty) return;
    this.#growthTimer ??= this.#options.clock.setTimer(GROWTH_INTERVAL, () => void this.#lookAfterGrowth());
  }

  async #lookAfterGrowth(): Promise<void> {
    const now = this.#options.clock.monotonic();
    const renews = now - this.#renewedAt > READER_LIFE / 3;
    if (renews) this.#renewedAt = now;
    await this.#forEachShard(this.#growth, async (shard, keys) => {
      for (let i = 0; i < keys.length; i += FOLLOW_BATCH) {
        await this.#look(shard, keys.slice(i, i + FOLLOW_BATCH), renews ? READER_LIFE : 0, this.#never);
      }
    });
    this.#growthTimer = undefined;
    this.#armGrowth();
  }

  async #look(shard: number, keys: readonly string[], life: number, signal: AbortSignal): Promise<void> {
    const reply = (await this.#run('log-follow', shard, [life, ...keys], signal)) as readonly number[];
    for (const [i, key] of keys.entries()) {
      const size = reply[2 * i] ?? -1;
      this.#growth.tell(key, size < 0 ? undefined : { size, finished: reply[2 * i + 1] === 1 });
    }
  }

  #armReaders(): void {
    if (this.#stopped || this.#reading.isEmpty) return;
    this.#readerTimer ??= this.#options.clock.setTimer(READER_INTERVAL, () => void this.#lookAfterReaders());
  }

  async #lookAfterReaders(): Promise<void> {
    await this.#forEachShard(this.#reading, (shard) => this.#lookForReaders(shard, this.#never));
    this.#readerTimer = undefined;
    this.#armReaders();
  }

  async #lookForReaders(shard: number, signal: AbortSignal): Promise<void> {
    const reply = (await this.#run('log-readers', shard, [], signal)) as readonly ScriptReply[];
    for (const key of reply) this.#reading.tell(String(key));
  }

  /** A failure is made up for by the next look. */
  async #forEachShard(
    waiters: Pick<Waiters<never>, 'keys'>,
    task: (shard: number, keys: readonly string[]) => Promise<void>,
  ): Promise<void> {
    const byShard = new Map<number, string[]>();
    for (const key of waiters.keys()) {
      const shard = logStreamShard(key);
      const keys = byShard.get(shard);
      if (keys === undefined) byShard.set(shard, [key]);
      else keys.push(key);
    }
    const looks = [...byShard].map(([shard, keys]) =>
      task(shard, keys).catch((err: unknown) =>
        this.#options.logger.debug({ err }, 'could not look after log streams'),
      ),
    );
    await Promise.all(looks);
  }

  #run(name: ScriptName, shard: number, args: readonly ScriptArgument[], signal: AbortSignal): Promise<ScriptReply> {
    const { connection, keyPrefix, limits, now } = this.#options;
    const keys = ['streams', 'used', 'readers', 'bytes'].map((each) => `${keyPrefix}{logs-${shard}}:${each}`);
    return connection.run(name, keys, [now?.() ?? '', limits.retentionMilliseconds, ...args], signal);
  }
}

/** The part of the farm's streams to which a stream belongs. */
export function logStreamShard(key: string): number {
  return (createHash('sha256').update(key).digest()[0] ?? 0) % LOG_STREAM_SHARDS;
}
