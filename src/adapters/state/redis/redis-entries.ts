import type { RedisConnection } from './redis-connection.ts';

export interface RedisEntriesOptions {
  readonly connection: RedisConnection;
  /** Begins every key; without braces. */
  readonly prefix: string;
  /** Milliseconds without a use after which an entry goes; undefined for never. */
  readonly unusedMilliseconds?: number | undefined;
}

/**
 * Values by keys, for what is a cache: each its own key of Redis, so that a cluster spreads them, and Redis drops those
 * that nobody uses. Calls made at the same moment leave in one write.
 */
export class RedisEntries {
  readonly #options: RedisEntriesOptions;

  constructor(options: RedisEntriesOptions) {
    this.#options = options;
  }

  /** The value, or undefined; its life begins anew. */
  async get(key: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const { connection } = this.#options;
    const value = connection.call('GET', [this.#keyOf(key)], signal);
    if (this.#options.unusedMilliseconds === undefined) return ((await value) as Buffer | null) ?? undefined;
    const [found] = await Promise.all([value, this.touch(key, signal)]);
    return (found as Buffer | null) ?? undefined;
  }

  /** Whether there is a value, whose life begins anew. */
  async touch(key: string, signal: AbortSignal): Promise<boolean> {
    const { connection, unusedMilliseconds } = this.#options;
    const name = this.#keyOf(key);
    const reply =
      unusedMilliseconds === undefined
        ? await connection.call('EXISTS', [name], signal)
        : await connection.call('PEXPIRE', [name, unusedMilliseconds], signal);
    return reply === 1;
  }

  /** @throws RESOURCE_EXHAUSTED when Redis' memory is full and its policy drops nothing. */
  async set(key: string, value: Uint8Array, signal: AbortSignal): Promise<void> {
    const { connection, unusedMilliseconds } = this.#options;
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const expiry = unusedMilliseconds === undefined ? [] : ['PX', unusedMilliseconds];
    await connection.call('SET', [this.#keyOf(key), bytes, ...expiry], signal);
  }

  /**
   * Sets a value where there is none, whoever else does so at the same moment.
   *
   * @returns the value that was there, whose life begins anew; undefined where this one was set. @throws as `set` does.
   */
  async setFirst(key: string, value: Uint8Array, signal: AbortSignal): Promise<Buffer | undefined> {
    const { connection, unusedMilliseconds } = this.#options;
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const expiry = unusedMilliseconds === undefined ? [] : ['PX', unusedMilliseconds];
    for (;;) {
      // Not in one command: older servers take NX or GET.
      if ((await connection.call('SET', [this.#keyOf(key), bytes, 'NX', ...expiry], signal)) !== null) return undefined;
      const found = await this.get(key, signal);
      // What was deleted, or dropped, in between leaves the place free again.
      if (found !== undefined) return found;
    }
  }

  async delete(key: string, signal: AbortSignal): Promise<void> {
    await this.#options.connection.call('DEL', [this.#keyOf(key)], signal);
  }

  /** Every key, in any order; one may come twice. */
  async *keys(signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    const { connection, prefix } = this.#options;
    for await (const key of connection.keys(prefix, signal)) yield key.slice(prefix.length);
  }

  #keyOf(key: string): string {
    return this.#options.prefix + key;
  }
}
