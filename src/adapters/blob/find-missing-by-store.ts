import { type Digest, digestKey } from '../../domain/digest.ts';
import type { BlobStore } from '../../ports/blob-store.ts';

/**
 * Asks each store for the digests that belong to it, all at once. @returns what is missing, each once, in the order given.
 */
export async function findMissingByStore(
  digests: readonly Digest[],
  storeOf: (digest: Digest) => BlobStore,
  signal: AbortSignal,
): Promise<Digest[]> {
  signal.throwIfAborted();
  const groups = new Map<BlobStore, Digest[]>();
  for (const digest of digests) {
    const store = storeOf(digest);
    const group = groups.get(store);
    if (group === undefined) groups.set(store, [digest]);
    else group.push(digest);
  }
  const answers = await Promise.all([...groups].map(([store, group]) => store.findMissing(group, signal)));
  const [only] = answers;
  if (answers.length <= 1) return only ?? [];
  return inOrder(digests, new Set(answers.flat().map(digestKey)));
}

/** Those of the digests that are in `keys`, each once, in their order. `keys` is emptied. */
export function inOrder(digests: readonly Digest[], keys: Set<string>): Digest[] {
  return keys.size === 0 ? [] : digests.filter((digest) => keys.delete(digestKey(digest)));
}
