import { StatusCode } from '../../domain/status-code.ts';
import { OriginError } from '../../ports/origin.ts';

/** Which URLs may be asked, as far as the URL itself tells. */
export class OriginRules {
  readonly #schemes: ReadonlySet<string>;
  readonly #hosts: readonly string[];

  /** @param hosts names, `*.DOMAIN` or `*`, in lower case. */
  constructor(schemes: readonly ('http' | 'https')[], hosts: readonly string[]) {
    this.#schemes = new Set(schemes.map((each) => `${each}:`));
    this.#hosts = hosts;
  }

  /** Whether this is a URL of a scheme that is fetched. */
  serves(uri: string): boolean {
    return URL.canParse(uri) && this.#schemes.has(new URL(uri).protocol);
  }

  /** @throws OriginError PERMISSION_DENIED when the URL's scheme or host may not be asked. */
  check(url: URL): void {
    if (!this.#schemes.has(url.protocol)) {
      throw new OriginError(StatusCode.PERMISSION_DENIED, `URLs with ${url.protocol} are not fetched here`);
    }
    // A dot at the end is the same name to DNS.
    const host = url.hostname.replace(/\.$/, '');
    if (!this.#hosts.some((pattern) => matches(host, pattern))) {
      throw new OriginError(StatusCode.PERMISSION_DENIED, `nothing is fetched from ${host}: assets.fetch.allowedHosts`);
    }
  }
}

function matches(host: string, pattern: string): boolean {
  if (pattern === '*') return true;
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) : host === pattern;
}
