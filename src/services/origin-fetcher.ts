import type { Digest } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { Clock } from '../lib/clock.ts';
import { type Origin, OriginError } from '../ports/origin.ts';
import type { AssetWish } from './asset-request.ts';
import type { SharedDownloads } from './shared-downloads.ts';

export interface OriginFetcherOptions {
  readonly origin: Origin;
  readonly downloads: SharedDownloads<Digest>;
  readonly clock: Clock;
  /** Milliseconds for a download where the client does not say. */
  readonly defaultTimeout: number;
  /** The most milliseconds that a client may ask for; more is cut to it. */
  readonly maximumTimeout: number;
}

/** A URI, and its place among those of the request. */
export interface PlacedUri {
  readonly uri: string;
  readonly index: number;
}

/** What came of it: the content, or why none of the URIs brought it. */
export type OriginOutcome =
  | (PlacedUri & { readonly digest: Digest; readonly startedAt: number })
  | (PlacedUri & { readonly error: StatusError });

/** Of several failures the first in this order is told: the one after which another try makes most sense. */
const WORTH_TELLING: readonly number[] = [
  StatusCode.UNAVAILABLE,
  StatusCode.RESOURCE_EXHAUSTED,
  StatusCode.ABORTED,
  StatusCode.PERMISSION_DENIED,
  StatusCode.UNIMPLEMENTED,
  StatusCode.NOT_FOUND,
];

/** Tries the URIs of a request in order, until one brings what was asked for. */
export class OriginFetcher {
  readonly #options: OriginFetcherOptions;

  constructor(options: OriginFetcherOptions) {
    this.#options = options;
  }

  serves(uri: string): boolean {
    return this.#options.origin.serves(uri);
  }

  /**
   * @param uris at least one.
   * @throws INVALID_ARGUMENT when the qualifier `directory` is malformed; what is not the origins' doing, or may pass: see `Origin.download`.
   */
  async fetch(wish: AssetWish, uris: readonly PlacedUri[], signal: AbortSignal): Promise<OriginOutcome> {
    const { clock, defaultTimeout, maximumTimeout } = this.#options;
    const timeout = Math.min(wish.timeout ?? defaultTimeout, maximumTimeout);
    const endsAt = clock.monotonic() + timeout;
    const failures: Array<PlacedUri & { readonly error: StatusError }> = [];
    for (const { uri, index } of uris) {
      try {
        return { uri, index, ...(await this.#download(wish, uri, index, endsAt - clock.monotonic(), signal)) };
      } catch (thrown) {
        signal.throwIfAborted();
        if (isDeadline(thrown)) {
          const error = new StatusError(StatusCode.DEADLINE_EXCEEDED, `${timeout / 1_000} s did not suffice`);
          return { uri, index, error };
        }
        if (!(thrown instanceof StatusError) || !WORTH_TELLING.includes(thrown.code)) throw thrown;
        failures.push({ uri, index, error: thrown });
      }
    }
    const rank = ({ error }: { readonly error: StatusError }) => WORTH_TELLING.indexOf(error.code);
    const [told] = [...failures].sort((a, b) => rank(a) - rank(b));
    if (told === undefined || !(told.error instanceof OriginError)) throw told?.error;
    return told;
  }

  async #download(wish: AssetWish, uri: string, index: number, timeout: number, signal: AbortSignal) {
    const { clock, origin, downloads } = this.#options;
    const { kind, qualifiers, digestFunction, instance } = wish;
    const { checksums, resourceType } = qualifiers;
    const headers = qualifiers.headersFor(uri, index);
    const sums = checksums?.map((each) => [each.digestFunction.name, each.hash]);
    const folder = kind === 'directory' ? qualifiers.folder() : undefined;
    const key = JSON.stringify([instance.name, digestFunction.name, uri, headers, sums, resourceType, folder]);
    // A client that wants nothing from before some future time wants nothing from before now.
    const notBefore = Math.min(wish.oldest, clock.now());
    const request = { uri, headers, digestFunction, checksums, mediaType: resourceType };
    const { value, startedAt } = await downloads.join(
      { key, notBefore, timeout },
      (end) =>
        folder === undefined
          ? origin.download(request, instance.blobs, end)
          : origin.unpack({ ...request, folder }, instance.blobs, end),
      signal,
    );
    return { digest: value, startedAt };
  }
}

function isDeadline(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'DeadlineError';
}
