import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { type Digest, digestOf } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { type ChunkingFunctionName, spliceChunks, splitIntoChunks } from './blob-chunks.ts';

const signal = new AbortController().signal;
const MEBIBYTE = 1024 * 1024;

/** Bytes without a pattern. */
function someBytes(size: number, seed: number): Buffer {
  const hashes = Array.from({ length: 512 }, (_, i) => createHash('sha512').update(`${seed} ${i}`).digest());
  const block = Buffer.concat(hashes);
  const data = Buffer.alloc(size, block);
  // No two blocks are alike.
  for (let at = 0; at + 8 < size; at += block.byteLength) data.writeUInt32LE(at ^ seed, at);
  return data;
}

const functions = fc.constantFrom<ChunkingFunctionName>('fast-cdc-2020', 'rep-max-cdc');

test('the chunks of a blob make it again, whatever its size', async () => {
  const size = fc.oneof(
    fc.constantFrom(0, 1, 512 * 1024 - 1, 512 * 1024, 2 * MEBIBYTE, 2 * MEBIBYTE + 1),
    fc.nat({ max: 3 * MEBIBYTE }),
  );
  await fc.assert(
    fc.asyncProperty(size, fc.nat(), functions, async (bytes, seed, chunkingFunction) => {
      const data = someBytes(bytes, seed);
      const digest = digestOf(data);
      const blobs = new MemoryBlobStore(64 * MEBIBYTE);
      if (bytes > 0) await blobs.write(digest, data, signal);
      const chunks = await splitIntoChunks(blobs, digest, chunkingFunction, signal);
      expect(await blobs.findMissing(chunks, signal)).toEqual([]);
      if (chunks.length > 1) await blobs.delete(digest, signal);
      await spliceChunks(blobs, digest, chunks, signal);
      expect(await blobs.findMissing([digest], signal)).toEqual([]);
    }),
    { numRuns: 8 },
  );
});

test('any other chunks make nothing: they are INVALID_ARGUMENT or NOT_FOUND', async () => {
  const pieces = fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { minLength: 1, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(pieces, fc.nat(), fc.nat(), fc.boolean(), async (parts, at, other, isLost) => {
      const whole = digestOf(Buffer.concat(parts));
      const blobs = new MemoryBlobStore(MEBIBYTE);
      const chunks: Digest[] = parts.map((part) => digestOf(part));
      for (const part of parts) await blobs.write(digestOf(part), part, signal);
      await blobs.delete(whole, signal);
      const place = at % chunks.length;
      const changed = [...chunks];
      if (isLost) changed[place] = digestOf(Buffer.concat([parts[place] as Uint8Array, Buffer.from('lost')]));
      else changed.splice(place, 1, ...(other % 2 === 0 ? [] : [chunks[place] as Digest, chunks[place] as Digest]));
      const failure = await spliceChunks(blobs, whole, changed, signal).catch((thrown: unknown) => thrown);
      expect([StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND]).toContain((failure as { code?: number }).code);
      expect(await blobs.findMissing([whole], signal)).toHaveLength(1);
    }),
    { numRuns: 100 },
  );
});
