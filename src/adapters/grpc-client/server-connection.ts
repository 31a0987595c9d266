import { type Channel, connectivityState } from '@grpc/grpc-js';
import type { Clock, Timer } from '../../lib/clock.ts';

export interface ServerConnectionOptions {
  /** Makes a channel, which connects with its first call. */
  readonly open: () => Channel;
  /** Milliseconds that connecting may take, all tries together, before it begins anew. */
  readonly connectTimeout: number;
  readonly clock: Clock;
}

/** A call of grpc-js' lower layer. */
export type RawCall = ReturnType<Channel['createCall']>;

/**
 * A connection to a server that comes back by itself.
 *
 * grpc-js does so, too, but knows no time limit between the TCP connection and the server's first word: where the machine
 * behind it is lost just then, calls would wait for it for ever. So a channel that is not ready in time is closed, with
 * UNAVAILABLE for those who wait for it, and replaced. The socket of a closed one stays until its other end or the kernel
 * gives it up; grpc-js has no way to it.
 */
export class ServerConnection {
  /** Calls under way; kept by whoever chooses among connections. */
  calls = 0;
  readonly #options: ServerConnectionOptions;
  #channel: Channel;
  #overdue: Timer | undefined;
  #closed = false;

  constructor(options: ServerConnectionOptions) {
    this.#options = options;
    this.#channel = options.open();
  }

  /** @param deadline in milliseconds since the Unix epoch, or Infinity. @throws Error when it is closed. */
  createCall(path: string, deadline: number): RawCall {
    const call = this.#channel.createCall(path, deadline, undefined, null, undefined);
    if (this.#overdue === undefined && !this.#isReady) {
      this.#overdue = this.#options.clock.setTimer(this.#options.connectTimeout, () => this.#replaceUnlessReady());
    }
    return call;
  }

  /** Calls under way fail with UNAVAILABLE. */
  close(): void {
    this.#closed = true;
    this.#overdue?.cancel();
    this.#channel.close();
  }

  get #isReady(): boolean {
    return this.#channel.getConnectivityState(false) === connectivityState.READY;
  }

  #replaceUnlessReady(): void {
    this.#overdue = undefined;
    if (this.#closed || this.#isReady) return;
    const stuck = this.#channel;
    this.#channel = this.#options.open();
    stuck.close();
  }
}
