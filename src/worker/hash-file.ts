import { open } from 'node:fs/promises';
import type { DigestFunction } from '../domain/digest-function.ts';

const CHUNK_BYTES = 1024 * 1024;

/** The hash of a file's content, read in chunks. @throws what the file system throws. */
export async function hashFile(path: string, digestFunction: DigestFunction): Promise<string> {
  const hasher = digestFunction.createHasher();
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES);
      if (bytesRead === 0) return hasher.digest();
      hasher.update(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
