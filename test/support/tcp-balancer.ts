import { createConnection, createServer, type Server, type Socket } from 'node:net';

/**
 * A load balancer of the plainest kind: each connection goes to the next target that takes it, with no stickiness and no
 * look inside. Clients that know one address reach whichever replica lives.
 */
export class TcpBalancer {
  readonly #targets: readonly number[];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #next = 0;

  /** @param targets ports of 127.0.0.1. */
  constructor(targets: readonly number[]) {
    this.#targets = targets;
    this.#server = createServer({ noDelay: true }, (client) => {
      this.#keep(client);
      const first = this.#next;
      this.#next += 1;
      this.#connect(client, first, 0);
    });
  }

  /** @returns its own port on 127.0.0.1. */
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

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #connect(client: Socket, first: number, tried: number): void {
    const port = this.#targets[(first + tried) % this.#targets.length];
    if (port === undefined || tried === this.#targets.length || client.destroyed) {
      client.destroy();
      return;
    }
    const server = createConnection({ port, host: '127.0.0.1', noDelay: true });
    const refused = () => this.#connect(client, first, tried + 1);
    server.once('error', refused);
    server.once('connect', () => {
      server.off('error', refused);
      this.#keep(server);
      client.pipe(server);
      server.pipe(client);
      client.once('close', () => server.destroy());
      server.once('close', () => client.destroy());
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
