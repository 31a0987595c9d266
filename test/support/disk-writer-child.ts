/**
 * A process for tests to kill: writes blobs into a disk store as fast as it can, and prints the seed and size of each
 * once it is acknowledged.
 *
 * Arguments: folder, durability, first seed.
 */

import { DiskActionCacheStore } from '../../src/adapters/action-cache/disk/disk-action-cache-store.ts';
import { diskActionCacheSchema } from '../../src/adapters/action-cache/disk/disk-configuration.ts';
import { DiskBlobStore } from '../../src/adapters/blob/disk/disk-blob-store.ts';
import { diskBlobStoreSchema } from '../../src/adapters/blob/disk/disk-configuration.ts';
import { digestOf } from '../../src/domain/digest.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { inChunks, someBytes } from '../../src/ports/blob-store.suite.ts';

const [directory = '', durability, first = '0'] = process.argv.slice(2);
const signal = new AbortController().signal;
const dependencies = { clock: new SystemClock(), logger: silentLogger, random: Math.random };
const blobs = await DiskBlobStore.open(
  diskBlobStoreSchema.parse({
    kind: 'disk',
    directory: `${directory}/blobs`,
    durability,
    maximumSizeBytes: 64 * 1024 * 1024,
    minimumAgeSeconds: 3600,
  }),
  dependencies,
  signal,
);
const actions = await DiskActionCacheStore.open(
  diskActionCacheSchema.parse({ kind: 'disk', directory: `${directory}/actions`, durability }),
  dependencies,
  signal,
);

let seed = Number(first);
/** A hundred of these run at once. */
async function upload(): Promise<void> {
  for (;;) {
    seed += 1;
    const mine = seed;
    const size = mine % 10 === 0 ? 200_000 + (mine % 7) * 50_000 : 1 + (mine % 9000);
    const data = someBytes(size, mine);
    const digest = digestOf(data);
    await blobs.write(digest, mine % 2 === 0 ? data : inChunks(data, 30_000), signal);
    await actions.put('main', digest, data.subarray(0, 100), signal);
    process.stdout.write(`${mine} ${size}\n`);
  }
}
await Promise.all(Array.from({ length: 100 }, upload));
