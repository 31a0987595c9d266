import { createHash } from 'node:crypto';
import { DiskBlobStore } from '../../src/adapters/blob/disk/disk-blob-store.ts';
import { diskBlobStoreSchema } from '../../src/adapters/blob/disk/disk-configuration.ts';
import { createDigest } from '../../src/domain/digest.ts';
import { SHA256 } from '../../src/domain/digest-function.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';

/** Fills a folder with blobs: `fill-disk.ts FOLDER COUNT`. Blob i is the text `blob <i>`, filled up to 200 bytes. */
const [directory = '', count = '0'] = process.argv.slice(2);
const BATCH = 1_000;
const signal = new AbortController().signal;
const store = await DiskBlobStore.open(
  diskBlobStoreSchema.parse({ kind: 'disk', directory, maximumSizeBytes: 20 * 1024 ** 3 }),
  { clock: new SystemClock(), logger: silentLogger, random: Math.random },
  signal,
);
for (let from = 0; from < Number(count); from += BATCH) {
  const writes = Array.from({ length: Math.min(BATCH, Number(count) - from) }, (_, i) => {
    const data = Buffer.from(`blob ${from + i}`.padEnd(200));
    const digest = createDigest(SHA256, createHash('sha256').update(data).digest('hex'), data.byteLength);
    return store.write(digest, data, signal);
  });
  await Promise.all(writes);
}
await store.close();
console.log('filled');
