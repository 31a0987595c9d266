import { createHash } from 'node:crypto';
import type { Digest } from './digest.ts';
import type { DigestFunction } from './digest-function.ts';

/** What an asset's content is: one blob, or a folder as a tree of Directories. */
export type AssetKind = 'blob' | 'directory';

/** One qualifier of an asset, as in the Remote Asset API: what tells apart content that shares a URI. */
export interface AssetQualifier {
  readonly name: string;
  readonly value: string;
}

/** Content that is known by a URI and qualifiers. */
export interface Asset {
  /** Of the blob, or of the root Directory. */
  readonly digest: Digest;
  /** What clients are told of it; never a header of a request, which may be a secret. */
  readonly qualifiers: readonly AssetQualifier[];
  /** When it was pushed, or when its retrieval began; in milliseconds since the Unix epoch. */
  readonly storedAt: number;
  /** From when on it is no longer given, in milliseconds since the Unix epoch; undefined for no such time. */
  readonly expiresAt: number | undefined;
  /** Further blobs that it is of no use without. */
  readonly blobs: readonly Digest[];
  /** Roots of further folders that it is of no use without. */
  readonly directories: readonly Digest[];
}

/** Under what an asset is stored: 64 hexadecimal characters, so that no secret and nothing long reaches a store. */
export type AssetKey = string;

/** What a key is made of. */
export interface AssetIdentity {
  readonly instanceName: string;
  readonly kind: AssetKind;
  /** Its digests are of this function. */
  readonly digestFunction: DigestFunction;
  /** Compared as it is written. */
  readonly uri: string;
  /** In any order. */
  readonly qualifiers: readonly AssetQualifier[];
}

/** The key of an asset: equal for equal identities, the order of qualifiers apart. */
export function assetKey({ instanceName, kind, digestFunction, uri, qualifiers }: AssetIdentity): AssetKey {
  const pairs = qualifiers.map(({ name, value }) => JSON.stringify([name, value])).sort();
  const text = JSON.stringify([instanceName, kind, digestFunction.name, uri, pairs]);
  return createHash('sha256').update(text).digest('hex');
}
