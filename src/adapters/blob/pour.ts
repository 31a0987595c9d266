import type { BlobWriter } from '../../ports/blob-writers.ts';

/** Brings all of a source into a writer and commits it; leaves nothing behind where that fails. */
export async function pour(
  writer: BlobWriter,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const chunk of source) {
      signal.throwIfAborted();
      await writer.append(chunk);
    }
    signal.throwIfAborted();
    await writer.commit();
  } finally {
    await writer.abandon();
  }
}
