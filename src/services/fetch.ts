import type { Asset, AssetIdentity, AssetKind } from '../domain/asset.ts';
import { SHA256 } from '../domain/digest-function.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError, unavailable } from '../domain/status-error.ts';
import type { CallContext } from '../ports/call-context.ts';
import type {
  FetchBlobRequest,
  FetchBlobResponse,
  FetchDirectoryRequest,
  FetchDirectoryResponse,
} from '../proto/build/bazel/remote/asset/v1/remote_asset.ts';
import type { Status } from '../proto/google/rpc/status.ts';
import { digestFunctionFromWire, digestFunctionToWire, digestToWire } from '../wire/digest.ts';
import { OK_STATUS, statusToWire } from '../wire/status.ts';
import { durationToMilliseconds, timestampFromMilliseconds, timestampToMilliseconds } from '../wire/time.ts';
import { type AssetWish, checkAssetRequest } from './asset-request.ts';
import type { Assets } from './assets.ts';
import type { Instances } from './instances.ts';
import type { OriginFetcher } from './origin-fetcher.ts';

/** How soon to try again where a folder did not stay whole, in milliseconds. */
const RETRY_DELAY_MS = 1_000;

/** Whether it was known already, had to be downloaded, or could not be had. */
export type FetchOutcome = 'known' | 'downloaded' | 'missing';

/** Hears of what was fetched. Must not throw. */
export interface FetchObserver {
  assetFetched(kind: AssetKind, outcome: FetchOutcome): void;
}

export interface FetchOptions {
  readonly instances: Instances;
  readonly assets: Assets;
  /** Undefined where only what was pushed is known. */
  readonly origins: OriginFetcher | undefined;
  readonly observer?: FetchObserver | undefined;
}

/** What came of a request. */
interface Resolution {
  readonly uri: string;
  readonly status: Status;
  readonly asset: Asset | undefined;
}

/** The service Fetch of the Remote Asset API: content by URI, as it was pushed or as its origin has it. */
export class Fetch {
  readonly #options: FetchOptions;

  constructor(options: FetchOptions) {
    this.#options = options;
  }

  /**
   * What the origin is to blame for stands in the answer's `status`.
   *
   * @throws INVALID_ARGUMENT, with a violation for each qualifier that no download can be held against; UNAVAILABLE or
   *   RESOURCE_EXHAUSTED, with RetryInfo, where another try may go well.
   */
  async fetchBlob(request: FetchBlobRequest, context: CallContext): Promise<FetchBlobResponse> {
    const wish = this.#read(request, 'blob');
    const { asset, ...common } = await this.#resolve(wish, context);
    return { ...common, ...describe(wish, asset), blobDigest: asset && digestToWire(asset.digest) };
  }

  /** As `fetchBlob`, of folders: as they were pushed, or unpacked from an archive. Repositories are not cloned. */
  async fetchDirectory(request: FetchDirectoryRequest, context: CallContext): Promise<FetchDirectoryResponse> {
    const wish = this.#read(request, 'directory');
    const { asset, ...common } = await this.#resolve(wish, context);
    return { ...common, ...describe(wish, asset), rootDirectoryDigest: asset && digestToWire(asset.digest) };
  }

  #read(request: FetchBlobRequest | FetchDirectoryRequest, kind: AssetKind): AssetWish {
    const instance = this.#options.instances.get(request.instanceName);
    const timeout = durationToMilliseconds(request.timeout) ?? 0;
    if (timeout < 0) throw invalidArgument('timeout', 'is negative');
    return {
      ...checkAssetRequest(request),
      instance,
      kind,
      digestFunction: request.digestFunction === 0 ? SHA256 : digestFunctionFromWire(request.digestFunction, undefined),
      oldest: timestampToMilliseconds(request.oldestContentAccepted) ?? Number.NEGATIVE_INFINITY,
      timeout: timeout === 0 ? undefined : timeout,
    };
  }

  async #resolve(wish: AssetWish, context: CallContext): Promise<Resolution> {
    const { outcome = 'missing', ...resolution } = await this.#find(wish, context);
    this.#options.observer?.assetFetched(wish.kind, outcome);
    return resolution;
  }

  async #find(wish: AssetWish, { signal }: CallContext): Promise<Resolution & { readonly outcome?: FetchOutcome }> {
    const { assets, origins } = this.#options;
    const { uris, oldest, instance, kind, qualifiers } = wish;
    for (const [index, uri] of uris.entries()) {
      const asset = await assets.find(identityOf(wish, uri, index), oldest, instance.blobs, signal);
      if (asset !== undefined) return { uri, status: OK_STATUS, asset, outcome: 'known' };
    }
    const fetchable = uris.map((uri, index) => ({ uri, index })).filter(({ uri }) => origins?.serves(uri) === true);
    if (origins === undefined || fetchable.length === 0) {
      return { uri: uris[0] ?? '', status: statusToWire(notPushed()), asset: undefined };
    }
    const beyond = qualifiers.beyondOriginsOf(kind);
    if (beyond.length > 0) throw unsupported(beyond);
    if (qualifiers.checksums?.length === 0) {
      throw invalidArgument('qualifiers: checksum.sri', 'none of its algorithms is sha256, sha384 or sha512');
    }
    const outcome = await origins.fetch(wish, fetchable, signal);
    if ('error' in outcome) return { uri: outcome.uri, status: statusToWire(outcome.error), asset: undefined };
    const { uri, index, digest, startedAt } = outcome;
    const asset: Asset = {
      digest,
      qualifiers: qualifiers.shown,
      storedAt: startedAt,
      expiresAt: undefined,
      blobs: [],
      directories: [],
    };
    // Of a folder, what came first may have been evicted before the last came; this extends the lives of all, too.
    const isWhole = kind === 'blob' || (await assets.findMissing(kind, asset, instance.blobs, signal)).length === 0;
    if (!isWhole) throw unavailable('the storage lost part of the folder while the rest came', RETRY_DELAY_MS);
    await assets.put(identityOf(wish, uri, index), asset, signal);
    return { uri, status: OK_STATUS, asset, outcome: 'downloaded' };
  }
}

function identityOf(
  { instance, kind, digestFunction, qualifiers }: AssetWish,
  uri: string,
  index: number,
): AssetIdentity {
  return {
    instanceName: instance.name,
    kind,
    digestFunction,
    uri,
    qualifiers: qualifiers.identityOf(uri, index),
  };
}

function describe({ digestFunction, qualifiers }: AssetWish, asset: Asset | undefined) {
  return {
    qualifiers: [...(asset?.qualifiers ?? qualifiers.shown)],
    expiresAt: asset?.expiresAt === undefined ? undefined : timestampFromMilliseconds(asset.expiresAt),
    digestFunction: digestFunctionToWire(digestFunction),
  };
}

function notPushed(): StatusError {
  const why = 'nobody has pushed it with these qualifiers, and it is none that this server downloads';
  return new StatusError(StatusCode.NOT_FOUND, why);
}

/** As the Remote Asset API wants it told, word for word. */
function unsupported(names: readonly string[]): StatusError {
  const violations = names.map((name) => ({ field: 'qualifiers.name', description: `"${name}" not supported` }));
  const message = `qualifiers.name: ${violations.map(({ description }) => description).join(', ')} for downloads`;
  return new StatusError(StatusCode.INVALID_ARGUMENT, message, { details: [{ kind: 'bad-request', violations }] });
}
