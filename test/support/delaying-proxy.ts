import { createConnection, createServer, type Server, type Socket } from 'node:net';

/** Which way bytes go: `up` from the client to the server, `down` back. */
type Direction = 'up' | 'down';

/** A link as it lies between a client and a server that are not on one machine. */
export interface DelayingProxyOptions {
  readonly targetPort: number;
  /** Milliseconds that every byte takes, each way. The bandwidth is not limited. */
  readonly delayMilliseconds: number;
}

interface Watched {
  readonly direction: Direction;
  readonly text: string;
  readonly resolve: () => void;
}

/** The longest text that is watched for, in bytes. */
const LONGEST_WATCHED = 256;

/**
 * A TCP proxy that holds every byte for a time, as distance does, that can be narrow, that can stop one direction
 * altogether, and that can be cut, also in the middle of a message.
 *
 * Loopback hides what latency does to flow control; whatever claims a throughput is measured through this, too.
 */
export class DelayingProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Both ends of connections over which the server has spoken. */
  readonly #spoken = new Set<Socket>();
  readonly #stranded = new WeakSet<Socket>();
  readonly #held: Record<Direction, Array<() => void>> = { up: [], down: [] };
  readonly #holding: Record<Direction, boolean> = { up: false, down: false };
  readonly #passed: Record<Direction, number> = { up: 0, down: 0 };
  #onProgress: Array<() => void> = [];
  readonly #watched = new Set<Watched>();
  readonly #breakAt: Record<Direction, number> = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };
  #delay: number;
  #bytesPerSecond = Number.POSITIVE_INFINITY;
  #isCut = false;

  constructor(options: DelayingProxyOptions) {
    this.#delay = options.delayMilliseconds;
    this.#server = createServer({ noDelay: true }, (client) => {
      if (this.#isCut) {
        client.destroy();
        return;
      }
      const server = createConnection({ port: options.targetPort, host: '127.0.0.1', noDelay: true });
      this.#pipe(client, server, 'up');
      this.#pipe(server, client, 'down');
    });
  }

  /** @returns the port on 127.0.0.1 that leads to the target. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, '127.0.0.1', () => {
        const address = this.#server.address();
        if (address === null || typeof address === 'string') reject(new Error('no port'));
        else resolve(address.port);
      });
    });
  }

  /** How many bytes have passed. */
  passed(direction: Direction): number {
    return this.#passed[direction];
  }

  /** Resolves once this many bytes have passed. */
  async untilPassed(direction: Direction, bytes: number): Promise<void> {
    while (this.#passed[direction] < bytes) {
      await new Promise<void>((resolve) => this.#onProgress.push(resolve));
    }
  }

  /**
   * Resolves as soon as a text is on its way, before the answer to it can come: what is done at once, such as `hold`, is
   * done while it is under way.
   */
  untilSent(direction: Direction, text: string): Promise<void> {
    return new Promise((resolve) => this.#watched.add({ direction, text, resolve }));
  }

  /** Stops one direction: bytes wait here until `release`. */
  hold(direction: Direction): void {
    this.#holding[direction] = true;
  }

  release(direction: Direction): void {
    this.#holding[direction] = false;
    for (const deliver of this.#held[direction].splice(0)) deliver();
  }

  /** How long bytes take from now on. A link that gets faster may bring later bytes first: break its connections. */
  delay(milliseconds: number): void {
    this.#delay = milliseconds;
  }

  /** How many bytes each connection carries in a second from now on, each way. Infinity lifts the limit. */
  throttle(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Lets so many more bytes pass in one direction and then cuts every connection: most likely within a message. */
  breakAfter(direction: Direction, bytes: number): void {
    this.#breakAt[direction] = this.#passed[direction] + bytes;
  }

  /** Cuts every connection, and new ones as they come, until `mend`. */
  cut(): void {
    this.#isCut = true;
    this.breakConnections();
  }

  mend(): void {
    this.#isCut = false;
  }

  /**
   * Every connection over which the server has spoken falls silent for ever, as when the machine behind it loses its
   * power; new ones are taken.
   */
  strand(): void {
    for (const socket of this.#spoken) this.#stranded.add(socket);
  }

  /** Cuts every connection; new ones are taken. */
  breakConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.breakConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #pipe(from: Socket, to: Socket, direction: Direction): void {
    this.#sockets.add(from);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.#sockets.delete(from);
      this.#spoken.delete(from);
      if (this.#stranded.has(from)) return;
      this.#later(direction, () => to.end());
    });
    let recent = '';
    from.on('data', (chunk: Buffer) => {
      if (this.#watched.size > 0) {
        const sent = recent + chunk.toString('latin1');
        this.#look(direction, sent);
        // What is watched for may come in two parts.
        recent = sent.slice(-LONGEST_WATCHED);
      }
      if (this.#bytesPerSecond !== Number.POSITIVE_INFINITY) {
        from.pause();
        setTimeout(() => from.resume(), (chunk.byteLength / this.#bytesPerSecond) * 1_000);
      }
      this.#later(direction, () => {
        if (this.#stranded.has(from)) return;
        if (direction === 'down') for (const end of [from, to]) if (!end.destroyed) this.#spoken.add(end);
        this.#deliver(chunk, to, direction);
      });
    });
  }

  #look(direction: Direction, sent: string): void {
    for (const watched of this.#watched) {
      if (watched.direction !== direction || !sent.includes(watched.text)) continue;
      this.#watched.delete(watched);
      watched.resolve();
    }
  }

  #deliver(chunk: Buffer, to: Socket, direction: Direction): void {
    const room = this.#breakAt[direction] - this.#passed[direction];
    const passing = chunk.byteLength < room ? chunk : chunk.subarray(0, room);
    if (!to.destroyed) to.write(passing);
    this.#passed[direction] += passing.byteLength;
    if (chunk.byteLength >= room) {
      this.#breakAt[direction] = Number.POSITIVE_INFINITY;
      this.breakConnections();
    }
    for (const wake of this.#onProgress.splice(0)) wake();
  }

  #later(direction: Direction, deliver: () => void): void {
    const arrive = () => {
      if (this.#holding[direction]) this.#held[direction].push(deliver);
      else deliver();
    };
    if (this.#delay === 0) arrive();
    else setTimeout(arrive, this.#delay);
  }
}
