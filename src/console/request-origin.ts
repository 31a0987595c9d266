import { isIP } from 'node:net';

/** What a browser tells of where a request comes from. */
export interface RequestOrigin {
  /** The header Host. */
  readonly host: string | undefined;
  /** The header Origin, which browsers add to every POST. */
  readonly origin: string | undefined;
  /** The header Sec-Fetch-Site. */
  readonly site: string | undefined;
}

/**
 * Whether a page may be shown under this name: an address, localhost, or a name that was configured. A page of somebody
 * else's that makes its own name point here could read ours otherwise.
 */
export function isKnownHost(host: string | undefined, known: readonly string[]): boolean {
  const name = hostName(host);
  return name === 'localhost' || isIP(name) !== 0 || known.some((each) => each.toLowerCase() === name);
}

/** Whether a request that changes something comes from a page of ours. */
export function isOurOwnPage({ host, origin, site }: RequestOrigin): boolean {
  if (site !== undefined && site !== 'same-origin') return false;
  if (host === undefined || origin === undefined || !URL.canParse(origin)) return false;
  return new URL(origin).host === host.toLowerCase();
}

function hostName(host: string | undefined): string {
  const url = `http://${host ?? ''}`;
  if (host === undefined || host === '' || !URL.canParse(url)) return '';
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}
