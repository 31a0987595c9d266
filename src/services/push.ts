import type { Asset, AssetKind } from '../domain/asset.ts';
import type { AssetQualifiers } from '../domain/asset-qualifiers.ts';
import type { Digest } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import type { Clock } from '../lib/clock.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { CallContext } from '../ports/call-context.ts';
import type {
  PushBlobRequest,
  PushBlobResponse,
  PushDirectoryRequest,
  PushDirectoryResponse,
} from '../proto/build/bazel/remote/asset/v1/remote_asset.ts';
import type { Digest as WireDigest } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestFunctionFromWire, digestsFromWire } from '../wire/digest.ts';
import { timestampToMilliseconds } from '../wire/time.ts';
import { missingBlobs } from './action-results.ts';
import { checkAssetRequest } from './asset-request.ts';
import type { Assets } from './assets.ts';
import type { Instances } from './instances.ts';

export interface PushOptions {
  readonly instances: Instances;
  readonly assets: Assets;
  readonly clock: Clock;
  /** Whether clients may push. */
  readonly allowed: boolean;
}

/** Blobs and folders that one asset may refer to beside its own content. */
const MAX_REFERENCES = 20_000;

/** URIs that are entered at once. */
const PUT_CONCURRENCY = 16;

/** The service Push of the Remote Asset API: clients say which content a URI stands for. */
export class Push {
  readonly #options: PushOptions;

  constructor(options: PushOptions) {
    this.#options = options;
  }

  /**
   * An `expire_at` that has passed takes back what was pushed.
   *
   * @throws PERMISSION_DENIED where pushes are not allowed; INVALID_ARGUMENT; FAILED_PRECONDITION with MISSING for each
   *   blob that is named and not stored.
   */
  async pushBlob(request: PushBlobRequest, context: CallContext): Promise<PushBlobResponse> {
    await this.#push('blob', request, request.blobDigest, context.signal);
    return {};
  }

  /** As `pushBlob`, of a folder: all that is in it must be stored. */
  async pushDirectory(request: PushDirectoryRequest, context: CallContext): Promise<PushDirectoryResponse> {
    await this.#push('directory', request, request.rootDirectoryDigest, context.signal);
    return {};
  }

  async #push(
    kind: AssetKind,
    request: PushBlobRequest | PushDirectoryRequest,
    content: WireDigest | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { instances, assets, clock, allowed } = this.#options;
    const { name: instanceName, blobs } = instances.get(request.instanceName);
    if (!allowed) {
      throw new StatusError(StatusCode.PERMISSION_DENIED, 'clients may not push assets to this server: assets.pushes');
    }
    const { uris, qualifiers } = checkAssetRequest(request);
    const digestFunction = digestFunctionFromWire(request.digestFunction, content?.hash);
    const digest = digestFromWire(content, digestFunction, kind === 'blob' ? 'blob_digest' : 'root_directory_digest');
    if (kind === 'blob') checkChecksum(qualifiers, digest);
    const references = request.referencesBlobs.length + request.referencesDirectories.length;
    if (references > MAX_REFERENCES) {
      const message = `${references} with references_directories, ${MAX_REFERENCES} at most`;
      throw invalidArgument('references_blobs', message);
    }
    const now = clock.now();
    const asset: Asset = {
      digest,
      qualifiers: qualifiers.shown,
      storedAt: now,
      expiresAt: timestampToMilliseconds(request.expireAt),
      blobs: digestsFromWire(request.referencesBlobs, digestFunction, 'references_blobs'),
      directories: digestsFromWire(request.referencesDirectories, digestFunction, 'references_directories'),
    };
    const identities = uris.map((uri, index) => ({
      instanceName,
      kind,
      digestFunction,
      uri,
      qualifiers: qualifiers.identityOf(uri, index),
    }));
    if (asset.expiresAt !== undefined && asset.expiresAt <= now) {
      await mapConcurrently(identities, PUT_CONCURRENCY, signal, (identity) => assets.delete(identity, signal));
      return;
    }
    const missing = await assets.findMissing(kind, asset, blobs, signal);
    if (missing.length > 0) throw missingBlobs('the asset names blobs that are not stored', missing);
    await mapConcurrently(identities, PUT_CONCURRENCY, signal, (identity) => assets.put(identity, asset, signal));
  }
}

/** Where the digest itself tells, a wrong checksum is the client's mistake. */
function checkChecksum({ checksums }: AssetQualifiers, digest: Digest): void {
  const alike = checksums?.filter((each) => each.digestFunction === digest.digestFunction) ?? [];
  if (alike.length === 0 || alike.length < (checksums?.length ?? 0)) return;
  if (!alike.some(({ hash }) => hash === digest.hash)) {
    throw invalidArgument('qualifiers: checksum.sri', 'is not that of blob_digest');
  }
}
