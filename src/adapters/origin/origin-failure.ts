import { StatusCode } from '../../domain/status-code.ts';
import { resourceExhausted, StatusError, unavailable } from '../../domain/status-error.ts';
import { OriginError } from '../../ports/origin.ts';
import { ForbiddenAddressError } from './guarded-client.ts';

/** How soon to try again where the origin does not say, in milliseconds. */
const RETRY_DELAY_MS = 1_000;

/** The longest delay that is passed on, in milliseconds, whatever an origin says. */
const LONGEST_RETRY_DELAY_MS = 3_600_000;

/**
 * The failure that an answer stands for; undefined for one that brings the content.
 *
 * @param where the URL as it may be shown.
 * @param retryAfter the header of that name.
 */
export function failureOfStatus(
  status: number,
  where: string,
  retryAfter: string | undefined,
): StatusError | undefined {
  if (status === 200 || status === 203) return undefined;
  const message = `${where} answered ${status}`;
  if (status === 404 || status === 410) return new OriginError(StatusCode.NOT_FOUND, message);
  if (status === 429) return resourceExhausted(message, retryDelay(retryAfter));
  if (status === 408 || status === 425 || status >= 500) return unavailable(message, retryDelay(retryAfter));
  if (status >= 400) return new OriginError(StatusCode.PERMISSION_DENIED, message);
  return new OriginError(StatusCode.ABORTED, `${message}, which brings no content`);
}

/** The failure that an error of the connection stands for. @param where the URL as it may be shown. */
export function failureOfConnection(thrown: unknown, where: string): StatusError {
  if (thrown instanceof StatusError) return thrown;
  const error = rootOf(thrown);
  if (error instanceof ForbiddenAddressError) {
    const message = `${where}: ${error.message}: assets.fetch.allowedNetworks`;
    return new OriginError(StatusCode.PERMISSION_DENIED, message);
  }
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  if (code === 'ENOTFOUND') return new OriginError(StatusCode.NOT_FOUND, `${where}: there is no host of this name`);
  if (/CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|HOSTNAME_MISMATCH/.test(code)) {
    return new OriginError(StatusCode.ABORTED, `${where}: its certificate is not good (${code})`);
  }
  // HPE_ is of the parser of HTTP, Z_ of that of gzip.
  const isMalformed = /^(HPE|Z)_/.test(code);
  if (isMalformed) {
    const what = error instanceof Error ? error.message : code;
    return new OriginError(StatusCode.ABORTED, `${where}: its answer is malformed: ${what}`);
  }
  return unavailable(`${where}: the connection failed${code === '' ? '' : ` (${code})`}`, RETRY_DELAY_MS, thrown);
}

/** Of several attempts that failed together, the first stands for all. */
function rootOf(thrown: unknown): unknown {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return rootOf(thrown.errors[0]);
  return thrown;
}

function retryDelay(header: string | undefined): number {
  const seconds = header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) : 0;
  return Math.min(Math.max(seconds * 1_000, RETRY_DELAY_MS), LONGEST_RETRY_DELAY_MS);
}
