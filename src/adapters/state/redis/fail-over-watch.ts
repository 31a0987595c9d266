import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import type { RedisAddress } from './redis-address.ts';

export interface FailOverWatchOptions {
  readonly sentinels: readonly RedisAddress[];
  /** The name under which they know the primary. */
  readonly primaryName: string;
  readonly password?: string | undefined;
  readonly tls?: ConnectionOptions | undefined;
  /** Milliseconds for connecting to one. */
  readonly connectTimeout: number;
  /** Milliseconds until the next try to reach one that is away. */
  readonly retryDelay: (failures: number) => number;
  /** Hears of each new primary, once from every Sentinel. */
  readonly onFailOver: (primary: RedisAddress) => void;
}

/** What a Sentinel publishes: name, address and port of the old primary, address and port of the new one. */
const CHANNEL = '+switch-master';

/**
 * Listens to Sentinels for a new primary.
 *
 * The old one may hang, or lie in a part of the network that is cut off, and close no connection: calls would go to it
 * until their time is over, and writes that it still takes are lost as soon as it is made a replica. The client library
 * has the same, but writes to standard error whenever a Sentinel is away.
 */
export class FailOverWatch {
  readonly #clients: readonly Redis[];
  readonly #options: FailOverWatchOptions;

  constructor(options: FailOverWatchOptions) {
    this.#options = options;
    this.#clients = options.sentinels.map((address) => this.#createClient(address));
  }

  start(): void {
    // Subscribing connects, and is done again with every new connection.
    for (const client of this.#clients) client.subscribe(CHANNEL).catch(() => {});
  }

  stop(): void {
    for (const client of this.#clients) client.disconnect();
  }

  #createClient({ host, port }: RedisAddress): Redis {
    const { primaryName, password, tls, connectTimeout, retryDelay, onFailOver } = this.#options;
    const client = new Redis({
      host,
      port,
      ...(password === undefined ? {} : { password }),
      ...(tls === undefined ? {} : { tls }),
      lazyConnect: true,
      enableReadyCheck: false,
      maxRetriesPerRequest: null,
      connectTimeout,
      retryStrategy: retryDelay,
    });
    // Whether a Sentinel can be reached is told where one is needed, for a connection to the primary.
    client.on('error', () => {});
    client.on('message', (_channel: string, text: string) => {
      const [name, , , newHost, newPort] = text.split(' ');
      if (name !== primaryName || newHost === undefined) return;
      onFailOver({ host: newHost, port: Number(newPort) });
    });
    return client;
  }
}
