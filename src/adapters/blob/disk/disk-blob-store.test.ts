import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { describeBlobStore } from '../../../ports/blob-store.suite.ts';
import { describeUploadStore, UPLOAD_SUITE_OPTIONS } from '../../../ports/upload-store.suite.ts';
import { ResumableUploads } from '../../upload/resumable-uploads.ts';
import { DiskBlobStore } from './disk-blob-store.ts';
import { diskBlobStoreSchema } from './disk-configuration.ts';

const signal = new AbortController().signal;

for (const durability of ['none', 'sync'] as const) {
  const open = async () => {
    const directory = await mkdtemp(join(tmpdir(), 'warren-disk-'));
    const configuration = diskBlobStoreSchema.parse({ kind: 'disk', directory, durability });
    const clock = new FakeClock();
    const store = await DiskBlobStore.open(configuration, { clock, logger: silentLogger, random: Math.random }, signal);
    return {
      store,
      dispose: async () => {
        await store.close();
        await rm(directory, { recursive: true });
      },
    };
  };

  describeBlobStore(`DiskBlobStore with durability ${durability}`, open);

  describeUploadStore(`ResumableUploads over DiskBlobStore with durability ${durability}`, async () => {
    const { store, dispose } = await open();
    const clock = new FakeClock();
    const uploads = new ResumableUploads(store, clock, UPLOAD_SUITE_OPTIONS);
    return {
      uploads,
      blobs: store,
      clock,
      dispose: async () => {
        await uploads.close();
        await dispose();
      },
    };
  });
}
