import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** What of IPv6 is in public use at all; the library takes all that it has no name for to be. */
const GLOBAL_UNICAST = ipaddr.parseCIDR('2000::/3');

/**
 * Which addresses may be asked: those of the public internet, and those of networks that the operator named.
 *
 * Who can make a server fetch URLs would otherwise read what only the server can reach: a cloud's metadata service, an
 * unguarded Redis, the server's own ports.
 */
export class AddressRules {
  readonly #allowed: ReadonlyArray<readonly [Address, number]>;

  /** @param allowedNetworks in CIDR notation, such as `10.1.0.0/16`. @throws Error when one is malformed. */
  constructor(allowedNetworks: readonly string[]) {
    this.#allowed = allowedNetworks.map((each) => ipaddr.parseCIDR(each));
  }

  /** Whether a connection may go to this address of IPv4 or IPv6. */
  permits(address: string): boolean {
    // The library reads other forms as well, such as 0x7f.1, which no lookup gives.
    if (isIP(address) === 0 || !ipaddr.isValid(address)) return false;
    const parsed = withoutWrapping(ipaddr.parse(address));
    if (this.#allowed.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits))) {
      return true;
    }
    return parsed.range() === 'unicast' && (parsed.kind() === 'ipv4' || parsed.match(GLOBAL_UNICAST));
  }
}

/** The IPv4 address within an IPv6 one: packets go there, whichever way it is written. */
function withoutWrapping(address: Address): Address {
  if (!(address instanceof ipaddr.IPv6)) return address;
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  // NAT64, by which networks with nothing but IPv6 reach the rest.
  if (address.range() === 'rfc6052') return new ipaddr.IPv4(address.toByteArray().slice(12));
  return address;
}
