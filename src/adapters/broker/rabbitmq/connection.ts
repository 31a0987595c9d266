import { setMaxListeners } from 'node:events';
import type { Duplex } from 'node:stream';
import { type ChannelModel, connect, credentials } from 'amqplib';
import { unavailable } from '../../../domain/status-error.ts';
import { linkSignals } from '../../../lib/abort.ts';
import { type BackoffOptions, backoffDelay } from '../../../lib/backoff.ts';
import { type Clock, sleep } from '../../../lib/clock.ts';
import { corkWrites } from '../../../lib/corked-socket.ts';
import { Deferred } from '../../../lib/deferred.ts';
import type { Random } from '../../../lib/ids.ts';
import type { Service } from '../../../lib/lifecycle.ts';
import type { Logger } from '../../../lib/log.ts';
import type { TlsContents } from '../../../lib/tls-files.ts';
import { closeWithBroker } from './close-with-broker.ts';

/** One address of the broker. */
export interface BrokerAddress {
  readonly host: string;
  readonly port: number;
}

/** Certificates, and whom to expect. */
export interface BrokerTls extends TlsContents {
  /** The name that the server's certificate must bear. Defaults to the address's host. */
  readonly serverName?: string | undefined;
}

export interface BrokerConnectionOptions {
  /** Tried in turn, beginning with the first, whenever a connection is needed. */
  readonly addresses: readonly BrokerAddress[];
  readonly virtualHost: string;
  readonly username: string;
  readonly password: string;
  /** Encrypted, and with `certificate` mutually authenticated, when set. */
  readonly tls?: BrokerTls | undefined;
  /** Seconds after which a silent peer counts as gone. */
  readonly heartbeatSeconds: number;
  /** Milliseconds for connecting and opening. */
  readonly connectTimeout: number;
  readonly backoff?: BackoffOptions;
  /** Shown beside the connection in the management console. */
  readonly connectionName: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** A part of the adapter that lives on the connection: publisher, consumers, updates. */
export interface ConnectionUser {
  readonly name: string;
  /** Opens its channels on a new connection, and declares what it needs. A failure closes the connection again. */
  connected(model: ChannelModel, signal: AbortSignal): Promise<void>;
  /** The connection has gone, and every channel and delivery tag with it. */
  disconnected(): void;
}

/** Milliseconds that a caller is asked to wait while there is an alarm. */
const ALARM_RETRY_MS = 1_000;

/**
 * A connection to RabbitMQ that comes back by itself, at any of several addresses.
 *
 * The library's own recovery knows one address. Everything that lives on the connection is a ConnectionUser, so that
 * topology, publishers and consumers are set up by the same code the first time and every time after.
 */
export class BrokerConnection implements Service {
  readonly name = 'RabbitMQ connection';
  readonly #options: BrokerConnectionOptions;
  readonly #users: readonly ConnectionUser[];
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #alarm = silentAlarm();
  #ready = false;

  /** @param users set up in this order, topology first. */
  constructor(options: BrokerConnectionOptions, users: readonly ConnectionUser[]) {
    this.#options = options;
    this.#users = users;
  }

  /** Whether every user is set up on a live connection. */
  get ready(): boolean {
    return this.#ready;
  }

  /**
   * Aborted, with UNAVAILABLE, once the broker reads nothing from this connection any more (memory or disk alarm): what
   * is asked of it waits for the end of the alarm, which may be hours away. Another one stands here from then on.
   */
  get alarm(): AbortSignal {
    return this.#alarm.signal;
  }

  /** Connects. Tries on, with backoff, until it succeeds or the signal is aborted. */
  async start(signal: AbortSignal): Promise<void> {
    const first = new Deferred<void>();
    this.#running = this.#run(first);
    const onAbort = () => {
      this.#stopping.abort(signal.reason);
      first.reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await first.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(first: Deferred<void>): Promise<void> {
    const { addresses, clock, random, logger, backoff } = this.#options;
    const signal = this.#stopping.signal;
    let failures = 0;
    for (let turn = 0; !signal.aborted; turn++) {
      const address = addresses[turn % addresses.length];
      if (address === undefined) throw new RangeError('a broker needs at least one address');
      try {
        await this.#live(address, () => {
          failures = 0;
          first.resolve();
        });
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        logger.warn({ err: error, host: address.host, port: address.port, failures }, 'no connection to RabbitMQ');
      }
      if (signal.aborted) return;
      // A whole round of addresses is tried before the wait grows.
      const delay = backoffDelay(Math.max(1, Math.ceil(failures / addresses.length)), random, backoff);
      await sleep(clock, delay, signal).catch(() => {});
    }
  }

  /** One connection, from opening to its end. @throws when it could not be opened or set up, or broke. */
  async #live(address: BrokerAddress, onReady: () => void): Promise<void> {
    const { logger } = this.#options;
    const model = await this.#open(address);
    const closed = new Deferred<Error | undefined>();
    model.on('error', (error: Error) => closed.resolve(error));
    model.on('close', (error?: Error) => closed.resolve(error));
    model.on('blocked', (reason: string) => {
      logger.warn({ reason }, 'RabbitMQ takes no messages');
      this.#alarm.abort(unavailable(`RabbitMQ takes no messages: ${reason}`, ALARM_RETRY_MS));
    });
    model.on('unblocked', () => {
      this.#alarm = silentAlarm();
      logger.info({}, 'RabbitMQ takes messages again');
    });
    const link = linkSignals(this.#stopping.signal);
    const onStop = () => closed.resolve(undefined);
    this.#stopping.signal.addEventListener('abort', onStop, { once: true });
    closed.promise.then(
      (error) => link.abort(error),
      () => {},
    );
    try {
      for (const user of this.#users) await user.connected(model, link.signal);
      link.signal.throwIfAborted();
      this.#ready = true;
      onReady();
      logger.info({ host: address.host, port: address.port }, 'connected to RabbitMQ');
      const error = await closed.promise;
      if (error !== undefined) throw error;
    } finally {
      this.#ready = false;
      if (this.#alarm.signal.aborted) this.#alarm = silentAlarm();
      this.#stopping.signal.removeEventListener('abort', onStop);
      link[Symbol.dispose]();
      for (const user of this.#users) user.disconnected();
      await closeWithBroker(model);
    }
  }

  async #open(address: BrokerAddress): Promise<ChannelModel> {
    const { tls, virtualHost, username, password, heartbeatSeconds, connectTimeout, connectionName } = this.#options;
    const model = await connect(
      {
        protocol: tls === undefined ? 'amqp' : 'amqps',
        hostname: address.host,
        port: address.port,
        vhost: virtualHost,
        heartbeat: heartbeatSeconds,
        username,
        password,
      },
      {
        // A request that follows an acknowledgement would wait 40 ms for the peer's delayed TCP acknowledgement.
        noDelay: true,
        timeout: connectTimeout,
        clientProperties: { connection_name: connectionName },
        ...(tls === undefined ? {} : tlsOptions(tls, address.host)),
      },
    );
    const { stream } = model.connection as unknown as { readonly stream: Duplex };
    corkWrites(stream);
    return model;
  }
}

function silentAlarm(): AbortController {
  const controller = new AbortController();
  // Everything that is under way listens.
  setMaxListeners(0, controller.signal);
  return controller;
}

function tlsOptions(tls: BrokerTls, host: string): object {
  return {
    servername: tls.serverName ?? host,
    ...(tls.authorities === undefined ? {} : { ca: [tls.authorities] }),
    ...(tls.certificate === undefined ? {} : { cert: tls.certificate, key: tls.privateKey }),
    // With a certificate of ours the broker takes the user from it (the EXTERNAL mechanism).
    ...(tls.certificate === undefined ? {} : { credentials: credentials.external() }),
  };
}
