import { isDeepStrictEqual } from 'node:util';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commandLine } from '../support/command-line.ts';
import { runConformance } from '../support/conformance-run.ts';
import { RedisServer } from '../support/redis-server.ts';
import { S3Server } from '../support/s3-server.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { randomBlob, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/** Two replicas of `warren serve` on one store, whose index they share in Redis. */
const MIB = 1024 * 1024;
const TIMEOUT = 240_000;
/** Longer than a replica waits before it looks again whether there is too much. */
const BETWEEN_CLEANINGS = 2_500;
let folder: string;
let redis: RedisServer;
let s3: S3Server | undefined;
let servers: RunningServer[];

beforeEach(async () => {
  folder = await temporaryFolder('indexed');
  redis = await RedisServer.start();
  servers = [];
});
afterEach(async () => {
  for (const server of servers.splice(0).reverse()) await server.stop();
  await s3?.[Symbol.asyncDispose]();
  s3 = undefined;
  await redis[Symbol.asyncDispose]();
  await removeFolder(folder);
});

async function serve(name: string, configuration: object): Promise<RunningServer> {
  const server = await startServe(folder, name, { roles: ['cas', 'action-cache'], ...configuration });
  servers.push(server);
  return server;
}

/** In another database than the index, so that this alone can be lost. */
async function redisStore(): Promise<object> {
  const limits = { maximumBlobBytes: 64 * MIB, unusedSeconds: 0 };
  return { kind: 'redis', addresses: [`127.0.0.1:${redis.port}`], database: 1, ...limits };
}

async function s3Store(): Promise<object> {
  s3 = await S3Server.start();
  return { kind: 's3', ...s3.configuration(await s3.createBucket()) };
}

function indexed(store: object, limits: object = {}): object {
  const server = { addresses: [`127.0.0.1:${redis.port}`] };
  return {
    blobs: { kind: 'indexed', index: { kind: 'redis', ...server }, store, ...limits },
    actionCache: { kind: 'redis', ...server },
    uploads: { shared: { ...server, keyPrefix: 'uploads:' } },
  };
}

describe.each([
  ['Redis', redisStore],
  ['S3', s3Store],
])('an index in Redis over %s', (_what, openStore) => {
  it('keeps the storage rules over two replicas, and agrees with the store', { timeout: TIMEOUT }, async () => {
    const configuration = indexed(await openStore());
    const replicas = [await serve('one', configuration), await serve('two', configuration)];
    const addresses = replicas.map(({ address }) => address);
    const cases = ['byte-stream-read', 'byte-stream-write', 'content-addressable-storage', 'action-cache'];
    expect(await runConformance(addresses, cases)).toBe('');
    const checked = await commandLine(addresses[1] ?? '', 'index', 'check', '--store', 'blobs', '--json');
    expect([checked.exitCode, checked.json()]).toEqual([0, []]);
  });

  it('evicts over two replicas, and a lost index is filled anew', { timeout: TIMEOUT }, async () => {
    const store = await openStore();
    const configuration = indexed(store, { maximumSizeBytes: 4 * MIB, minimumAgeSeconds: 0 });
    const replicas = [await serve('one', configuration), await serve('two', configuration)];
    const clients = replicas.map(({ address }) => new WireClient([address]));
    const tenants = clients.map((client) => new Tenant(client, ''));
    const blobs = Array.from({ length: 100 }, () => randomBlob(100_000));
    await Promise.all(
      tenants.map(async (tenant, i) => {
        for (let at = i; at < blobs.length; at += 2) await tenant.upload(blobs[at] as (typeof blobs)[number]);
      }),
    );
    const digests = blobs.map(({ digest }) => digest);
    let missing: Awaited<ReturnType<Tenant['findMissing']>> = [];
    const isAtRest = async () => {
      const before = missing;
      missing = await (tenants[0] as Tenant).findMissing(...digests);
      const elsewhere = await (tenants[1] as Tenant).findMissing(...digests);
      return isDeepStrictEqual(missing, before) && isDeepStrictEqual(elsewhere, missing);
    };
    await expect.poll(isAtRest, { interval: BETWEEN_CLEANINGS, timeout: TIMEOUT }).toBe(true);
    expect(missing.length).toBeGreaterThan(50);
    // What the index promises is there.
    const kept = digests.filter((digest) => missing.every(({ hash }) => hash !== digest.hash));
    for (const digest of kept) {
      const [read] = await (tenants[1] as Tenant).batchRead(digest);
      expect(read?.status?.code ?? 0).toBe(0);
    }
    for (const client of clients) client.close();

    // What a replica has read a moment ago it would note in the index once more.
    for (const server of servers.splice(0)) await server.stop();
    const observer = new Redis({ host: '127.0.0.1', port: redis.port });
    await observer.flushdb();
    observer.disconnect();
    // Without a limit: the last uploads may stand above the high watermark, and would be cleaned away meanwhile.
    const { address } = await serve('three', indexed(store));
    const checked = await commandLine(address, 'index', 'check', '--store', 'blobs', '--json');
    const rebuilt = await commandLine(address, 'index', 'rebuild', '--store', 'blobs', '--json');
    expect(checked.exitCode).toBe(1);
    expect(rebuilt.json()).toMatchObject([{ entries: kept.length, listed: true }]);
  });
});
