import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { AddressInUseError } from '../lib/address-in-use-error.ts';
import type { Service } from '../lib/lifecycle.ts';

/** Connections at once: people and monitors are few. */
const MAX_CONNECTIONS = 256;

/** Serves the console over HTTP. */
export class ConsoleServer implements Service {
  readonly name = 'console';
  readonly #address: string;
  readonly #server: Server;

  /** @param address host and port to listen on; port 0 takes a free one. */
  constructor(address: string, app: Hono) {
    this.#address = address;
    // Probes of HTTP/1.0 name no host; without one the adapter would hang up on them.
    const listener = getRequestListener(app.fetch, { hostname: 'unnamed.invalid' });
    this.#server = createServer((request, response) => void listener(request, response));
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /** The port, once started. */
  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  /** @throws AddressInUseError. */
  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const colon = this.#address.lastIndexOf(':');
    const host = this.#address.slice(0, colon).replace(/^\[|\]$/g, '');
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) => reject(new AddressInUseError(this.#address, cause)));
      this.#server.listen(Number(this.#address.slice(colon + 1)), host, resolve);
    });
  }

  async stop(force: AbortSignal): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const onForce = () => this.#server.closeAllConnections();
    if (force.aborted) onForce();
    else force.addEventListener('abort', onForce, { once: true });
    this.#server.closeIdleConnections();
    await closed;
    force.removeEventListener('abort', onForce);
  }
}
