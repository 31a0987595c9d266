import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { ByteStreamService, WriteRequest } from '../../src/proto/google/bytestream/bytestream.ts';
import { commandLine } from '../support/command-line.ts';
import { runConformance } from '../support/conformance-run.ts';
import { RedisServer } from '../support/redis-server.ts';
import { S3Server } from '../support/s3-server.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { randomBlob, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/**
 * Stores that replicas share, as `warren serve` runs them, under the storage cases of conformance: calls go round over all
 * replicas, so that what one has stored, or half stored, the next must know.
 */

const STORAGE_CASES = [
  'action-cache',
  'byte-stream-read',
  'byte-stream-write',
  'compressed-blobs',
  'content-addressable-storage',
  'get-tree',
];
/**
 * Cases that ask for a thousand requests and more within the twenty seconds of a call: the server in Python takes some
 * milliseconds of a core for each.
 */
const DEEP_TREE = 'a chain a thousand directories deep';
const MANY_DIGESTS = 'ten thousand digests';
/** Some hundred calls, of which each may be several requests to a server in Python. */
const TIMEOUT = 900_000;

let s3: S3Server;
let redis: RedisServer;
let folder: string;
let servers: RunningServer[];
beforeAll(async () => {
  s3 = await S3Server.start();
  redis = await RedisServer.start({ settings: { maxmemory: '1gb', 'maxmemory-policy': 'allkeys-lru' } });
});
afterAll(async () => {
  await s3[Symbol.asyncDispose]();
  await redis[Symbol.asyncDispose]();
});
beforeEach(async () => {
  folder = await temporaryFolder('shared');
  servers = [];
});
afterEach(async () => {
  for (const server of servers.splice(0).reverse()) await server.stop();
  await removeFolder(folder);
});

/** Starts replicas of one configuration. @returns their addresses. */
async function serve(replicas: number, configuration: object): Promise<string[]> {
  for (let i = 1; i <= replicas; i++) {
    servers.push(await startServe(folder, `replica-${i}`, { roles: ['cas', 'action-cache'], ...configuration }));
  }
  return servers.map(({ address }) => address);
}

/** Runs the storage cases. @returns what was printed where one fails; empty where all hold. */
const conform = (addresses: readonly string[], except: readonly string[] = []) =>
  runConformance(addresses, STORAGE_CASES, except);

const disk = (name: string) => ({ kind: 'disk', directory: join(folder, name), maximumSizeBytes: 1_000_000_000 });
const inRedis = (keyPrefix: string) => ({ addresses: [`127.0.0.1:${redis.port}`], keyPrefix });
const onS3 = async () => ({ kind: 's3', ...s3.configuration(await s3.createBucket()), connections: 16 });

it('a disk in front of S3 and its index keeps the storage rules', { timeout: TIMEOUT }, async () => {
  const store = await onS3();
  const indexed = {
    kind: 'indexed',
    maximumSizeBytes: 1_000_000_000,
    index: { kind: 'redis', ...inRedis('index:') },
    store,
  };
  const blobs = { kind: 'tiered', fast: disk('blobs'), slow: indexed };
  const addresses = await serve(1, { blobs, actionCache: store });
  expect(await conform(addresses, [DEEP_TREE])).toBe('');
});

it('two replicas over S3 keep them, uploads that go on at the other one included', { timeout: TIMEOUT }, async () => {
  const store = await onS3();
  const uploads = { shared: inRedis('s3-uploads:') };
  const addresses = await serve(2, { blobs: store, actionCache: store, uploads });
  expect(await conform(addresses, [DEEP_TREE, MANY_DIGESTS])).toBe('');
});

it('two replicas over Redis for small blobs and S3 for large ones keep them', { timeout: TIMEOUT }, async () => {
  const store = await onS3();
  const addresses = await serve(2, {
    blobs: {
      kind: 'size-split',
      thresholdBytes: 65_536,
      small: { kind: 'redis', ...inRedis('split:') },
      large: store,
    },
    actionCache: { kind: 'tiered', fast: { kind: 'redis', ...inRedis('split:') }, slow: store },
    uploads: { shared: inRedis('split:') },
  });
  expect(await conform(addresses)).toBe('');
});

it('two replicas over Redis alone keep them', { timeout: TIMEOUT }, async () => {
  const addresses = await serve(2, {
    blobs: { kind: 'redis', maximumBlobBytes: 64 * 1024 * 1024, ...inRedis('alone:') },
    actionCache: { kind: 'redis', ...inRedis('alone:') },
    uploads: { shared: inRedis('alone:') },
  });
  expect(await conform(addresses)).toBe('');
});

it('parts on S3 of an upload whose server was killed are dropped by `warren clean`', { timeout: TIMEOUT }, async () => {
  const bucket = await s3.createBucket();
  const store = { kind: 's3', ...s3.configuration(bucket), partBytes: 5 << 20, unfinishedUploadSeconds: 1 };
  const [address = ''] = await serve(1, { blobs: store, actionCache: { kind: 'memory' } });
  const tenant = new Tenant(new WireClient([address]), '');
  const blob = randomBlob(20 << 20);
  const upload = tenant.client.clientStream(ByteStreamService.write, { deadline: 60_000 });
  const resourceName = tenant.writeName(blob.digest);
  for (let offset = 0; offset < 12 << 20; offset += 1 << 20) {
    const [writeOffset, data] = [BigInt(offset), blob.data.subarray(offset, offset + (1 << 20))];
    await upload.write(WriteRequest.create({ resourceName, writeOffset, data }));
  }
  await expect.poll(() => s3.unfinishedUploads(bucket), { timeout: 60_000 }).toHaveLength(1);
  await servers[0]?.kill();
  tenant.client.close();
  const clean = async () => {
    const { exitCode, stdout } = await commandLine(address, 'clean', '--config', join(folder, 'replica-1.yaml'));
    return { exitCode, uploads: /^blobs +0 +0 B +([0-9]+)/m.exec(stdout)?.[1] };
  };
  await expect.poll(clean, { timeout: 60_000 }).toEqual({ exitCode: 0, uploads: '1' });
  expect(await s3.unfinishedUploads(bucket)).toEqual([]);
  expect(await clean()).toEqual({ exitCode: 0, uploads: '0' });
});
