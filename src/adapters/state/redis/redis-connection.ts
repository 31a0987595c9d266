import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import { unavailable } from '../../../domain/status-error.ts';
import { raceSignal } from '../../../lib/abort.ts';
import { backoffDelay } from '../../../lib/backoff.ts';
import { corkWrites } from '../../../lib/corked-socket.ts';
import type { Random } from '../../../lib/ids.ts';
import type { Service } from '../../../lib/lifecycle.ts';
import type { Logger } from '../../../lib/log.ts';
import { FailOverWatch } from './fail-over-watch.ts';
import type { RedisAddress } from './redis-address.ts';
import { RETRY_DELAY, statusOfRedisError } from './redis-error.ts';
import { loadScripts, type Script, type ScriptName } from './scripts.ts';
import { checkServer, type RedisPurpose } from './server-check.ts';

export interface RedisConnectionOptions {
  /**
   * - `single`: the first address is the server.
   * - `sentinel`: the addresses are Sentinels, which know who is the primary of `sentinelName`.
   * - `cluster`: the addresses are nodes of a Redis Cluster; the others are learnt from them.
   */
  readonly mode: 'single' | 'sentinel' | 'cluster';
  readonly addresses: readonly RedisAddress[];
  readonly sentinelName?: string | undefined;
  readonly sentinelPassword?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** The number of the logical database; 0 in a cluster. */
  readonly database: number;
  /** Encrypted when set. */
  readonly tls?: ConnectionOptions | undefined;
  /** Milliseconds for connecting. */
  readonly connectTimeout: number;
  /** Milliseconds that a call may take, waiting for a reconnect included. Then it is UNAVAILABLE. */
  readonly commandTimeout: number;
  /** Calls that may be under way at once; beyond, they are UNAVAILABLE: a Redis that hangs must not fill our memory. */
  readonly maxPending: number;
  /**
   * What becomes of the calls of one turn of the event loop. `corked`: written to the socket together. `pipelined`: made
   * one batch by the client library, and written and answered together. `separate`: each is written at once.
   */
  readonly batching: 'corked' | 'pipelined' | 'separate';
  /** Shown in Redis' list of clients. */
  readonly connectionName: string;
  /** What is kept there, for the look at the server's settings at the start. Defaults to `state`. */
  readonly purpose?: RedisPurpose;
  readonly random: Random;
  readonly logger: Logger;
}

/** How many keys Redis looks at in one step of a walk over all of them. */
const KEYS_AT_ONCE = 1_000;

/** What a script is given: bytes and texts go as they are. */
export type ScriptArgument = string | number | Buffer;

/** What a script answers. */
export type ScriptReply = null | number | Buffer | readonly ScriptReply[];

/** What the library's clients have alike, though its types tell it of neither. */
interface Scripting {
  evalshaBuffer(sha: string, keyCount: number, ...keysAndArguments: readonly ScriptArgument[]): Promise<unknown>;
  evalBuffer(source: string, keyCount: number, ...keysAndArguments: readonly ScriptArgument[]): Promise<unknown>;
  callBuffer(command: string, ...args: readonly ScriptArgument[]): Promise<unknown>;
}

interface PendingCall {
  readonly reject: (cause: unknown) => void;
  /** Whether it has left: if the connection breaks now, nobody knows what became of it. */
  sent: boolean;
}

/**
 * A connection to Redis that comes back by itself, and runs scripts.
 *
 * A call that was under way when the connection broke fails with UNAVAILABLE and is not sent again: Redis may have
 * carried it out. Calls made while there is no connection wait for the next one, no longer than `commandTimeout`; to a
 * cluster without any node they fail at once.
 */
export class RedisConnection implements Service {
  readonly name = 'Redis connection';
  readonly #options: RedisConnectionOptions;
  readonly #client: Redis | Cluster;
  readonly #scripting: Scripting;
  readonly #failOvers: FailOverWatch | undefined;
  readonly #pending = new Set<PendingCall>();
  #scripts: ReadonlyMap<ScriptName, Script> = new Map();

  constructor(options: RedisConnectionOptions) {
    this.#options = options;
    this.#client = options.mode === 'cluster' ? this.#createCluster() : this.#createSingle();
    this.#scripting = this.#client as unknown as Scripting;
    this.#failOvers = options.mode === 'sentinel' ? this.#watchFailOvers() : undefined;
  }

  /** Whether calls go out at once. */
  get ready(): boolean {
    return this.#client.status === 'ready';
  }

  /** Whether one call may name keys of different slots: only a cluster has more than one. */
  get spansSlots(): boolean {
    return this.#options.mode !== 'cluster';
  }

  /**
   * Connects, tries on until it succeeds or the signal is aborted, and looks whether the server will do.
   *
   * @throws FAILED_PRECONDITION when it is too old.
   */
  async start(signal: AbortSignal): Promise<void> {
    const client = this.#client;
    const ready = new Promise<void>((resolve) => {
      client.once('ready', resolve);
    });
    this.#failOvers?.start();
    // The library rejects with the first failure and goes on trying by itself.
    client.connect().catch(() => {});
    try {
      await raceSignal(ready, signal);
      const nodes = client instanceof Cluster ? client.nodes('master') : [client];
      const versions = nodes.map(async (node) =>
        checkServer(await node.info(), this.#options.logger, this.#options.purpose),
      );
      this.#scripts = loadScripts(Math.min(...(await Promise.all(versions))));
    } catch (cause) {
      this.#disconnect();
      throw signal.aborted ? cause : statusOfRedisError(cause);
    }
  }

  async stop(): Promise<void> {
    if (this.ready) await this.#client.quit().catch(() => {});
    this.#disconnect();
  }

  /**
   * Runs a script. All keys must share one hash tag, unless `spansSlots`.
   *
   * The signal keeps a call from being made. One that is under way is seen to its end, at most `commandTimeout`, so that
   * whoever made it knows what became of it.
   *
   * @throws UNAVAILABLE with RetryInfo when Redis can't be reached, RESOURCE_EXHAUSTED when its memory is full.
   */
  async run(
    name: ScriptName,
    keys: readonly string[],
    args: readonly ScriptArgument[],
    signal: AbortSignal,
  ): Promise<ScriptReply> {
    const script = this.#scripts.get(name);
    if (script === undefined) throw unavailable('the connection to Redis has not been made yet', RETRY_DELAY);
    const call = [keys.length, ...keys, ...args] as const;
    signal.throwIfAborted();
    try {
      return await this.#track(() => this.#scripting.evalshaBuffer(script.sha, ...call));
    } catch (cause) {
      if (!(cause instanceof Error && cause.message.startsWith('NOSCRIPT'))) throw statusOfRedisError(cause);
    }
    // A server that was restarted, flushed or newly made primary has not seen the script.
    return this.#track(() => this.#scripting.evalBuffer(script.source, ...call)).catch((cause: unknown) => {
      throw statusOfRedisError(cause);
    });
  }

  /**
   * Runs one command on one key. Commands of one turn of the event loop leave together, and need no script.
   *
   * @throws as `run` does.
   */
  async call(command: string, args: readonly ScriptArgument[], signal: AbortSignal): Promise<ScriptReply> {
    if (this.#scripts.size === 0) throw unavailable('the connection to Redis has not been made yet', RETRY_DELAY);
    signal.throwIfAborted();
    try {
      return await this.#track(() => this.#scripting.callBuffer(command, ...args));
    } catch (cause) {
      throw statusOfRedisError(cause);
    }
  }

  /** Every key that begins so, on every primary, in any order; one may come twice. */
  async *keys(prefix: string, signal: AbortSignal): AsyncGenerator<string, void, undefined> {
    const match = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
    const client = this.#client;
    for (const node of client instanceof Cluster ? client.nodes('master') : [client]) {
      let cursor = '0';
      do {
        signal.throwIfAborted();
        let found: string[];
        try {
          [cursor, found] = await node.scan(cursor, 'MATCH', match, 'COUNT', KEYS_AT_ONCE);
        } catch (cause) {
          throw statusOfRedisError(cause);
        }
        yield* found;
      } while (cursor !== '0');
    }
  }

  /** The library would leave what waits for a connection waiting for its time to pass. */
  #disconnect(): void {
    this.#failOvers?.stop();
    this.#client.disconnect();
    for (const pending of this.#pending) pending.reject(new Error('the connection to Redis was closed'));
  }

  #track(call: () => Promise<unknown>): Promise<ScriptReply> {
    if (this.#pending.size >= this.#options.maxPending) {
      throw unavailable(`${this.#options.maxPending} calls wait for Redis already`, RETRY_DELAY);
    }
    return new Promise<ScriptReply>((resolve, reject) => {
      const pending: PendingCall = { reject, sent: this.ready };
      this.#pending.add(pending);
      call()
        .then((reply) => resolve(reply as ScriptReply), reject)
        .finally(() => this.#pending.delete(pending));
    });
  }

  #createSingle(): Redis {
    const { addresses, mode, sentinelName, sentinelPassword, tls, database } = this.#options;
    const options = {
      ...this.#commonOptions(),
      db: database,
      lazyConnect: true,
      retryStrategy: (failures: number) => this.#delay(failures),
      // A primary that was demoted: the next connection finds its successor. The call was refused, and can go again.
      reconnectOnError: (error: Error) => (error.message.startsWith('READONLY') ? 2 : false),
      ...(mode === 'sentinel'
        ? {
            sentinels: addresses.map(({ host, port }) => ({ host, port })),
            name: sentinelName ?? '',
            sentinelRetryStrategy: (failures: number) => this.#delay(failures),
            ...(sentinelPassword === undefined ? {} : { sentinelPassword }),
            ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
          }
        : { host: addresses[0]?.host ?? '127.0.0.1', port: addresses[0]?.port ?? 6379 }),
    } satisfies RedisOptions;
    const client = new Redis(options);
    this.#watch(client);
    client.on('ready', () => {
      for (const pending of this.#pending) pending.sent = true;
    });
    client.on('close', () => {
      for (const pending of this.#pending) {
        if (pending.sent) pending.reject(new Error('the connection to Redis broke'));
      }
    });
    return client;
  }

  #watchFailOvers(): FailOverWatch {
    const { addresses, sentinelName, sentinelPassword, tls, connectTimeout, logger } = this.#options;
    return new FailOverWatch({
      sentinels: addresses,
      primaryName: sentinelName ?? '',
      password: sentinelPassword,
      tls,
      connectTimeout,
      retryDelay: (failures) => this.#delay(failures),
      onFailOver: (primary) => {
        const client = this.#client;
        // A connection that is only being made has a time limit of its own; the library must not be disturbed at it.
        if (client instanceof Cluster || (client.status !== 'ready' && client.status !== 'connect')) return;
        const { remoteAddress, remotePort } = client.stream;
        if (remoteAddress === primary.host && remotePort === primary.port) return;
        logger.warn({ host: primary.host, port: primary.port }, 'another Redis is primary now');
        client.stream.destroy();
      },
    });
  }

  #createCluster(): Cluster {
    const { addresses, batching } = this.#options;
    const cluster = new Cluster(
      addresses.map(({ host, port }) => ({ host, port })),
      {
        lazyConnect: true,
        redisOptions: this.#commonOptions(),
        enableAutoPipelining: batching === 'pipelined',
        // The library sets no time limit while it has no node; callers hear at once, and come again.
        enableOfflineQueue: false,
        clusterRetryStrategy: (failures) => this.#delay(failures),
        // A call under way on a connection that broke may have been carried out: it is not sent again.
        retryDelayOnFailover: 0,
      },
    );
    cluster.on('+node', (node: Redis) => this.#cork(node));
    this.#logEvents(cluster);
    return cluster;
  }

  #commonOptions() {
    const { username, password, tls, connectTimeout, commandTimeout, batching, connectionName } = this.#options;
    return {
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls }),
      connectTimeout,
      commandTimeout,
      // A primary whose machine has lost its power closes no connection; TCP would wait for it for a quarter of an hour.
      socketTimeout: commandTimeout,
      connectionName,
      maxRetriesPerRequest: null,
      autoResendUnfulfilledCommands: false,
      enableAutoPipelining: batching === 'pipelined',
    } satisfies RedisOptions;
  }

  #watch(client: Redis): void {
    this.#cork(client);
    this.#logEvents(client);
  }

  #cork(client: Redis): void {
    if (this.#options.batching !== 'corked') return;
    client.on('connect', () => corkWrites(client.stream));
  }

  #logEvents(client: Redis | Cluster): void {
    const { logger } = this.#options;
    client.on('ready', () => logger.info({}, 'connected to Redis'));
    client.on('error', (error: unknown) => logger.warn({ err: error }, 'trouble with the connection to Redis'));
  }

  #delay(failures: number): number {
    return backoffDelay(failures, this.#options.random, { initial: 50, maximum: 2_000 });
  }
}
