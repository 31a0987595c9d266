import { lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector } from 'undici';
import type { AddressRules } from './address-rules.ts';

export interface GuardedAgentOptions {
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
 * nor a name whose address changes between two questions gets round them.
 */
export function createGuardedAgent({ rules, idleTimeout, lookup = systemLookup }: GuardedAgentOptions): Agent {
  const connector = buildConnector({ lookup: guardedLookup(rules, lookup), timeout: idleTimeout });
  return new Agent({
    headersTimeout: idleTimeout,
    bodyTimeout: idleTimeout,
    connect(options, callback) {
      const host = options.hostname.replace(/^\[|\]$/g, '');
      // An address in the URL itself is never looked up.
      if (isIP(host) !== 0 && !rules.permits(host)) {
        callback(new ForbiddenAddressError(host), null);
        return;
      }
      connector(options, (...[failure, socket]) => {
        if (failure !== null) {
          callback(failure, null);
        } else if (socket.remoteAddress === undefined || !rules.permits(socket.remoteAddress)) {
          socket.destroy();
          callback(new ForbiddenAddressError(host), null);
        } else {
          callback(null, socket);
        }
      });
    },
  });
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
