import { createHash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { RedisBlobIndex } from '../../src/adapters/blob-index/redis/redis-blob-index.ts';
import { createDigest } from '../../src/domain/digest.ts';
import { SHA256 } from '../../src/domain/digest-function.ts';
import { connectToRedis } from '../../test/support/redis-connection.ts';

/** Fills an index in Redis with the blobs of fill-disk.ts: `fill-redis-index.ts PORT COUNT`. */
const [port = '0', count = '0'] = process.argv.slice(2);
const BATCH = 1_000;
const connection = await connectToRedis(Number(port));
const index = new RedisBlobIndex({
  connection,
  keyPrefix: 'warren:',
  name: 'blobs',
  lease: 60_000,
  resolution: 10_000,
});
for (let from = 0; from < Number(count); from += BATCH) {
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  const digests = Array.from({ length: Math.min(BATCH, Number(count) - from) }, (_, i) => {
    const data = Buffer.from(`blob ${from + i}`.padEnd(200));
    return createDigest(SHA256, createHash('sha256').update(data).digest('hex'), data.byteLength);
  });
  await Promise.all(digests.map((digest) => index.reserve(digest, signal)));
  await Promise.all(digests.map((digest) => index.commit(digest, 0, signal)));
}
await connection.stop();
console.log('filled');
