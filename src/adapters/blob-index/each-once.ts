import { type Digest, digestKey } from '../../domain/digest.ts';

/** The digests, those that come again left out. */
export function eachOnce(digests: readonly Digest[]): Digest[] {
  if (digests.length < 2) return [...digests];
  return [...new Map(digests.map((digest) => [digestKey(digest), digest])).values()];
}
