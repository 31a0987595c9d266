import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { Redis } from 'ioredis';
import { openBlobStore } from '../../src/compose/blob-storage.ts';
import { blobStoreSchema } from '../../src/config/blob-storage-schema.ts';
import { digestOf } from '../../src/domain/digest.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { RandomIdGenerator } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/log.ts';
import type { BlobBackend } from '../../src/ports/blob-backend.ts';
import { RedisServer } from '../../test/support/redis-server.ts';
import { S3Server } from '../../test/support/s3-server.ts';
import { randomBlob } from '../../test/support/tenant.ts';
import { type BenchOptions, inFlight, measure, type Row, type Scenario } from '../support/scenario.ts';
import { ProcessMeter } from '../support/server.ts';

const KIBIBYTE = 1024;
const SMALL = { size: KIBIBYTE, count: 2_000, atOnce: 64, name: '1 KiB, 64 at once' };
const LARGE = { size: 16 * KIBIBYTE * KIBIBYTE, count: 8, atOnce: 2, name: '16 MiB, 2 at once' };
type Load = typeof SMALL;

/** What can be written and read by a number: a store, or what it stands on. */
interface Medium {
  put(i: number, data: Buffer): Promise<void>;
  get(i: number): Promise<number>;
}

/** Each store in this process, beside the bare speed of what it stands on. */
export const stores: Scenario = {
  name: 'stores',
  what: 'each blob store beside files, a Redis client or an S3 client alone, as ratios',
  async run(options) {
    const folder = await mkdtemp(join(tmpdir(), 'warren-stores-'));
    const redis = await RedisServer.start();
    const s3 = await S3Server.start();
    const client = new Redis({ host: '127.0.0.1', port: redis.port, enableAutoPipelining: true });
    try {
      const files = join(folder, 'files');
      await mkdir(files);
      const bucket = await s3.createBucket();
      const index = { kind: 'redis', addresses: [`127.0.0.1:${redis.port}`] };
      const s3Store = { kind: 's3', ...s3.configuration(await s3.createBucket()) };
      return [
        ...(await beside('files', fileMedium(files), SMALL, options, [
          ['disk', { kind: 'disk', directory: join(folder, 'disk') }],
          ['disk, sync', { kind: 'disk', directory: join(folder, 'sync'), durability: 'sync' }],
        ])),
        ...(await beside('copied files', copyMedium(files), LARGE, options, [
          ['disk', { kind: 'disk', directory: join(folder, 'disk-large') }],
        ])),
        ...(await beside('Redis', redisMedium(client), SMALL, options, [
          ['redis', { kind: 'redis', addresses: [`127.0.0.1:${redis.port}`] }],
          [
            'redis with an index in Redis',
            { kind: 'indexed', index, store: { ...index, keyPrefix: 'i:', unusedSeconds: 0 } },
          ],
        ])),
        ...(await beside(
          'the S3 client',
          s3Medium(s3, bucket),
          { ...SMALL, count: 200, atOnce: 16, name: '1 KiB, 16 at once' },
          options,
          [['s3', s3Store]],
        )),
        ...(await beside('the S3 client', s3Medium(s3, bucket), LARGE, options, [['s3', s3Store]])),
      ];
    } finally {
      client.disconnect();
      await s3[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    }
  },
};

async function beside(
  what: string,
  bare: Medium,
  load: Load,
  options: BenchOptions,
  configurations: ReadonlyArray<readonly [name: string, configuration: object]>,
): Promise<Row[]> {
  const floor = await both(`${what} alone`, bare, load, options);
  const rows: Row[] = [...floor];
  for (const [name, configuration] of configurations) {
    const opened = await openBlobStore(
      blobStoreSchema.parse(configuration),
      ['blobs'],
      { clock: new SystemClock(), ids: new RandomIdGenerator(), logger: silentLogger, random: Math.random },
      new AbortController().signal,
    );
    const own = await both(name, storeMedium(opened.blobs), load, options);
    for (const [i, row] of own.entries()) rows.push({ ...row, ofBare: row.value / (floor[i]?.value ?? 1) });
    await opened.close(new AbortController().signal);
  }
  return rows;
}

async function both(what: string, medium: Medium, load: Load, options: BenchOptions): Promise<Row[]> {
  const meter = new ProcessMeter([process.pid]);
  const count = Math.max(load.atOnce, Math.round(load.count * options.scale));
  const unit = load.size > KIBIBYTE ? 'MiB/s' : 'blobs/s';
  const work = load.size > KIBIBYTE ? load.size / KIBIBYTE ** 2 : 1;
  let round = 0;
  const write = async () => {
    const first = round++ * count;
    const data = Array.from({ length: count }, () => randomBlob(load.size).data);
    return inFlight(load.atOnce, count, async (i) => {
      await medium.put(first + i, data[i] as Buffer);
      return work;
    });
  };
  const readBack = () =>
    inFlight(load.atOnce, count, async (i) => {
      if ((await medium.get(i)) !== load.size) throw new Error(`${what} gave other bytes`);
      return work;
    });
  await write();
  await readBack();
  return [
    await measure(meter, `${what}: in, ${load.name}`, unit, options.rounds, write),
    await measure(meter, `${what}: out, ${load.name}`, unit, options.rounds, readBack),
  ];
}

function storeMedium(blobs: BlobBackend): Medium {
  const digests: Array<ReturnType<typeof digestOf>> = [];
  const { signal } = new AbortController();
  return {
    async put(i, data) {
      digests[i] = digestOf(data);
      await blobs.write(digests[i], data, signal);
    },
    async get(i) {
      let bytes = 0;
      const digest = digests[i] as ReturnType<typeof digestOf>;
      if (digest.sizeBytes <= KIBIBYTE) return (await blobs.readWhole(digest, signal)).byteLength;
      for await (const chunk of blobs.read(digest, { offset: 0 }, signal)) bytes += chunk.byteLength;
      return bytes;
    },
  };
}

function fileMedium(folder: string): Medium {
  return {
    put: (i, data) => writeFile(join(folder, `${i}`), data),
    get: async (i) => (await readFile(join(folder, `${i}`))).byteLength,
  };
}

/** Whole files that the kernel copies: less work than any store can do. */
function copyMedium(folder: string): Medium {
  const source = join(folder, 'source');
  let written: Promise<void> | undefined;
  return {
    async put(i, data) {
      written ??= writeFile(source, data);
      await written;
      await copyFile(source, join(folder, `copy-${i}`));
    },
    get: async (i) => (await readFile(join(folder, `copy-${i}`))).byteLength,
  };
}

function redisMedium(client: Redis): Medium {
  return {
    put: async (i, data) => void (await client.set(`bare:${i}`, data)),
    get: async (i) => (await client.getBuffer(`bare:${i}`))?.byteLength ?? 0,
  };
}

function s3Medium({ client }: S3Server, bucket: string): Medium {
  return {
    put: async (i, data) => void (await client.send(new PutObjectCommand({ Bucket: bucket, Key: `${i}`, Body: data }))),
    async get(i) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: `${i}` }));
      return (await Body?.transformToByteArray())?.byteLength ?? 0;
    },
  };
}
