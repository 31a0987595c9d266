import type { Digest } from '../../domain/digest.ts';
import { DigestVerifier } from '../../domain/digest-verifier.ts';

/** The whole of a small blob. @throws INVALID_ARGUMENT as soon as it does not fit the digest. */
export async function collectBlob(
  digest: Digest,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const verifier = new DigestVerifier(digest);
  const data = new Uint8Array(digest.sizeBytes);
  for await (const chunk of source) {
    signal.throwIfAborted();
    const at = verifier.receivedBytes;
    verifier.update(chunk);
    data.set(chunk, at);
  }
  verifier.finish();
  return data;
}
