import { lstatSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Digest, digestKey, digestOf } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import { diskFailure } from './disk-failure.ts';
import type { OutputBlob } from './output-collector.ts';

/** How much an action may print, and how its result has it. */
export interface PrintedLimits {
  /** Bytes that standard output and standard error may hold, each. */
  readonly maxLogBytes: number;
  /** Up to this size standard output and standard error travel in the result, each; larger ones go to the storage. */
  readonly maxInlineLogBytes: number;
}

/**
 * What an action has printed, cut at the limit: inline when small, else as one more blob to upload.
 *
 * @param blobs is given that blob.
 * @throws UNAVAILABLE or INTERNAL when the file can't be read, as `diskFailure` tells them apart.
 */
export async function readPrinted(
  path: string,
  limits: PrintedLimits,
  digestFunction: DigestFunction,
  blobs: Map<string, OutputBlob>,
): Promise<{ readonly raw: Buffer } | { readonly digest: Digest }> {
  try {
    const size = Math.min(lstatSync(path).size, limits.maxLogBytes);
    if (size <= limits.maxInlineLogBytes) return { raw: readFileSync(path).subarray(0, size) };
    const file = await open(path, 'r');
    try {
      const bytes = Buffer.allocUnsafe(size);
      const { bytesRead } = await file.read(bytes, 0, size, 0);
      const whole = bytes.subarray(0, bytesRead);
      const digest = digestOf(whole, digestFunction);
      blobs.set(digestKey(digest), { digest, source: () => whole });
      return { digest };
    } finally {
      await file.close();
    }
  } catch (thrown) {
    throw diskFailure(thrown, 'Failed to read what the action printed');
  }
}
