import { expect, test } from 'vitest';
import { digestOf } from '../../domain/digest.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { inChunks, someBytes } from '../../ports/blob-store.suite.ts';
import { describeUploadStore, UPLOAD_SUITE_OPTIONS } from '../../ports/upload-store.suite.ts';
import { MemoryBlobStore } from '../blob/memory/memory-blob-store.ts';
import { ResumableUploads } from './resumable-uploads.ts';

describeUploadStore('ResumableUploads over MemoryBlobStore', async () => {
  const blobs = new MemoryBlobStore(32 * 1024 * 1024);
  const clock = new FakeClock();
  const uploads = new ResumableUploads(blobs, clock, UPLOAD_SUITE_OPTIONS);
  return { uploads, blobs, clock, dispose: () => uploads.close() };
});

test('no more uploads than allowed stay broken off, however small', async () => {
  const signal = new AbortController().signal;
  const uploads = new ResumableUploads(new MemoryBlobStore(1e6), new FakeClock(), {
    ...UPLOAD_SUITE_OPTIONS,
    maximumPartialUploads: 3,
  });
  for (let i = 0; i < 10; i++) {
    const data = someBytes(100, i);
    await uploads.receive(`u${i}`, digestOf(data), 0, inChunks(data.subarray(1), 99), () => false, signal);
  }
  expect(uploads.partialBytes).toBe(3 * 99);
  await uploads.close();
  expect(uploads.partialBytes).toBe(0);
});
