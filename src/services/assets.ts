import { type Asset, type AssetIdentity, assetKey } from '../domain/asset.ts';
import type { Digest } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { Logger } from '../lib/log.ts';
import type { AssetStore } from '../ports/asset-store.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { ReferencedBlobs } from './referenced-blobs.ts';

/** Assets as services see them: with all their content, or absent. */
export class Assets {
  readonly #store: AssetStore;
  readonly #logger: Logger;
  readonly #referenced = new WeakMap<BlobStore, ReferencedBlobs>();

  constructor(store: AssetStore, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  /**
   * The asset, if all that it names is stored, whose lives are thereby extended; else undefined.
   *
   * @param oldest the earliest time at which it may have been stored, in milliseconds since the Unix epoch.
   */
  async find(
    identity: AssetIdentity,
    oldest: number,
    blobs: BlobStore,
    signal: AbortSignal,
  ): Promise<Asset | undefined> {
    const asset = await this.#store.get(assetKey(identity), signal);
    if (asset === undefined || asset.storedAt < oldest) return undefined;
    try {
      const missing = await this.findMissing(identity.kind, asset, blobs, signal);
      if (missing.length === 0) return asset;
      const entry = { instance: identity.instanceName, uri: withoutSecrets(identity.uri), missing: missing.length };
      this.#logger.debug(entry, 'content of an asset is not stored any more: counts as a miss');
    } catch (thrown) {
      // A folder that turns out malformed is no reason not to fetch it anew.
      if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.INVALID_ARGUMENT) throw thrown;
      const entry = { instance: identity.instanceName, uri: withoutSecrets(identity.uri), error: thrown.message };
      this.#logger.warn(entry, 'an asset is malformed: counts as a miss');
    }
    return undefined;
  }

  /**
   * What of an asset's content is not stored. The lives of the rest are extended.
   *
   * @throws INVALID_ARGUMENT when a directory is malformed.
   */
  findMissing(
    kind: AssetIdentity['kind'],
    { digest, blobs: named, directories }: Asset,
    blobs: BlobStore,
    signal: AbortSignal,
  ): Promise<Digest[]> {
    const roots = directories.map((root, index) => ({ root, field: `references_directories[${index}]` }));
    if (kind === 'directory') roots.unshift({ root: digest, field: 'root_directory_digest' });
    const files = kind === 'blob' ? [digest, ...named] : named;
    return this.#referencedIn(blobs).findMissingOf(files, roots, signal);
  }

  put(identity: AssetIdentity, asset: Asset, signal: AbortSignal): Promise<void> {
    return this.#store.put(assetKey(identity), asset, signal);
  }

  delete(identity: AssetIdentity, signal: AbortSignal): Promise<void> {
    return this.#store.delete(assetKey(identity), signal);
  }

  #referencedIn(blobs: BlobStore): ReferencedBlobs {
    const known = this.#referenced.get(blobs) ?? new ReferencedBlobs(blobs);
    this.#referenced.set(blobs, known);
    return known;
  }
}

/** A URI for the log: user, password and query may open what is nobody else's. */
function withoutSecrets(uri: string): string {
  return uri.replace(/[?#].*$/s, '').replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, '$1');
}
