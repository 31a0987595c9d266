import { lookup as systemLookup } from 'node:dns';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest, Agent as SecureAgent } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { AddressRules } from './address-rules.ts';

export interface GuardedClientOptions {
  readonly rules: AddressRules;
  /** Milliseconds without a byte, connecting included. */
  readonly idleTimeout: number;
  /** Finds the addresses of a name. Defaults to the system's way. */
  readonly lookup?: LookupFunction;
}

/** A connection was refused by our own rules. */
export class ForbiddenAddressError extends Error {
  constructor(host: string) {
    super(`${host} has no address that may be asked`);
    this.name = 'ForbiddenAddressError';
  }
}

/**
 * An HTTP client whose every connection goes to an address that the rules permit.
 *
 * They are held against the address that is connected to, and not against one that a name had before: neither a redirect
 * nor a name whose address changes between two questions gets round them. Each request has a connection of its own.
 *
 * Node's own client, and not undici: up to its version 7, the last for Node 20, that ends the process when an origin
 * closes the connection while its content is still being read.
 */
export class GuardedClient {
  readonly #rules: AddressRules;
  readonly #idleTimeout: number;
  readonly #lookup: LookupFunction;
  readonly #agent = new Agent();
  readonly #secureAgent = new SecureAgent();

  constructor({ rules, idleTimeout, lookup = systemLookup }: GuardedClientOptions) {
    this.#rules = rules;
    this.#idleTimeout = idleTimeout;
    this.#lookup = guardedLookup(rules, lookup);
  }

  /**
   * The answer, once its headers are there; its content fails when the connection does.
   *
   * @throws ForbiddenAddressError; the system's error; the signal's reason.
   */
  get(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // An address in the URL itself is never looked up.
    if (isIP(host) !== 0 && !this.#rules.permits(host)) return Promise.reject(new ForbiddenAddressError(host));
    const isSecure = url.protocol === 'https:';
    const options = {
      // Not the URL as it is: a user and a password in it are not sent.
      hostname: host,
      port: url.port === '' ? undefined : url.port,
      path: `${url.pathname}${url.search}`,
      headers,
      agent: isSecure ? this.#secureAgent : this.#agent,
      lookup: this.#lookup,
      timeout: this.#idleTimeout,
      signal,
    };
    return new Promise((resolve, reject) => {
      const request = isSecure ? httpsRequest(options) : httpRequest(options);
      let answer: IncomingMessage | undefined;
      request.on('timeout', () => {
        const failure = Object.assign(new Error('it was silent for too long'), { code: 'ETIMEDOUT' });
        if (answer === undefined) request.destroy(failure);
        else if (!answer.complete) answer.destroy(failure);
      });
      request.on('socket', (socket) => {
        socket.once('connect', () => {
          if (!this.#rules.permits(socket.remoteAddress ?? '')) socket.destroy(new ForbiddenAddressError(host));
        });
      });
      request.on('response', (response) => {
        answer = response.on('error', () => {});
        resolve(response);
      });
      request.on('error', reject);
      request.on('close', () => reject(new Error('the connection was closed')));
      request.end();
    });
  }

  /** Breaks off what is under way. No other call may follow. */
  close(): void {
    this.#agent.destroy();
    this.#secureAgent.destroy();
  }
}

function guardedLookup(rules: AddressRules, lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (failure, found) => {
      if (failure !== null) {
        callback(failure, []);
        return;
      }
      const addresses = Array.isArray(found) ? found : [];
      const permitted = addresses.filter(({ address }) => rules.permits(address));
      const [first] = permitted;
      if (first === undefined) callback(new ForbiddenAddressError(hostname), []);
      else if (options.all === true) callback(null, permitted);
      else callback(null, first.address, first.family);
    });
  };
}
