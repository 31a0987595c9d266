import type { AssetKind, AssetQualifier } from '../domain/asset.ts';
import { AssetQualifiers } from '../domain/asset-qualifiers.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type { Instance } from './instances.ts';

const MAX_URIS = 64;
const MAX_URI_LENGTH = 8 * 1024;

/** What every call of the Remote Asset API has. */
export interface AssetRequest {
  readonly uris: readonly string[];
  readonly qualifiers: readonly AssetQualifier[];
}

/** URIs and qualifiers of a request, checked. */
export interface CheckedAssetRequest {
  readonly uris: readonly string[];
  readonly qualifiers: AssetQualifiers;
}

/** A request of Fetch, of either kind, checked. */
export interface AssetWish extends CheckedAssetRequest {
  readonly instance: Instance;
  readonly kind: AssetKind;
  readonly digestFunction: DigestFunction;
  /** Content from before this won't do; in milliseconds since the Unix epoch, -Infinity for any age. */
  readonly oldest: number;
  /** Milliseconds that a retrieval may take; undefined where the client does not say. */
  readonly timeout: number | undefined;
}

/** @throws INVALID_ARGUMENT that names the field. BuildStream sends a call without URIs to see whether it is served. */
export function checkAssetRequest({ uris, qualifiers }: AssetRequest): CheckedAssetRequest {
  if (uris.length === 0) throw invalidArgument('uris', 'at least one is needed');
  if (uris.length > MAX_URIS) throw invalidArgument('uris', `${uris.length} of them, ${MAX_URIS} at most`);
  for (const [index, uri] of uris.entries()) {
    if (uri === '') throw invalidArgument(`uris[${index}]`, 'is empty');
    if (uri.length > MAX_URI_LENGTH) {
      throw invalidArgument(`uris[${index}]`, `longer than ${MAX_URI_LENGTH} characters`);
    }
  }
  return { uris, qualifiers: new AssetQualifiers(qualifiers) };
}
