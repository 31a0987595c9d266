import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  FetchBlobRequest,
  type FetchBlobResponse,
  FetchDirectoryRequest,
  FetchService,
} from '../../src/proto/build/bazel/remote/asset/v1/remote_asset.ts';
import { type Digest, Directory } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { runConformance } from '../support/conformance-run.ts';
import { type OriginServer, startOriginServer } from '../support/origin-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { randomBlob, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { describeStatus, failure, WireClient } from '../support/wire-client.ts';

/**
 * Two replicas with the role `asset` that share a Redis and a store, and download from a server of the test's own. Its
 * address is the only one that is not public and may be asked.
 */
const ORIGIN_HOST = '127.0.0.2';

let folder: string;
let redis: RedisServer;
let origin: OriginServer;
let storage: RunningServer;
let replicas: readonly RunningServer[];
/** Calls go to one replica and the other in turn. */
let both: WireClient;
let first: WireClient;
let second: WireClient;

beforeAll(async () => {
  folder = await temporaryFolder('assets');
  await mkdir(join(folder, 'downloads'));
  [redis, origin] = await Promise.all([RedisServer.start(), startOriginServer(ORIGIN_HOST)]);
  storage = await startServe(folder, 'storage', {
    roles: ['cas', 'action-cache'],
    blobs: { kind: 'disk', directory: join(folder, 'blobs') },
    actionCache: { kind: 'memory' },
  });
  const replica = {
    roles: ['cas', 'asset'],
    redis: { addresses: [`127.0.0.1:${redis.port}`] },
    blobs: { kind: 'remote', endpoint: `grpc://${storage.address}` },
    actionCache: { kind: 'memory' },
    assets: {
      kind: 'redis',
      fetch: {
        allowedNetworks: [`${ORIGIN_HOST}/32`],
        directory: join(folder, 'downloads'),
        maximumSizeBytes: 400 * 1024 ** 2,
        idleTimeoutSeconds: 5,
      },
    },
  };
  replicas = await Promise.all(['first', 'second'].map((name) => startServe(folder, name, replica)));
  const addresses = replicas.map(({ address }) => address);
  [both, first, second] = [
    new WireClient(addresses),
    new WireClient(addresses.slice(0, 1)),
    new WireClient(addresses.slice(1)),
  ];
}, 120_000);

afterAll(async () => {
  for (const client of [both, first, second]) client?.close();
  await Promise.all((replicas ?? []).map((each) => each.stop()));
  await storage?.stop();
  await origin?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  await removeFolder(folder);
});

const fetchBlob = (client: WireClient, request: Parameters<typeof FetchBlobRequest.create>[0]) =>
  client.unary(FetchService.fetchBlob, FetchBlobRequest.create(request), { deadline: 60_000 });

const sriOf = (data: Uint8Array) => [
  { name: 'checksum.sri', value: `sha384-${createHash('sha384').update(data).digest('base64')}` },
];

const code = (answer: FetchBlobResponse) => describeStatus(answer.status).code;
const requestsFor = (path: string) => origin.paths.filter((each) => each === path).length;

test('the conformance cases hold with the calls spread over both', async () => {
  expect(
    await runConformance(
      replicas.map(({ address }) => address),
      ['asset'],
    ),
  ).toBe('');
}, 300_000);

test('what one replica has downloaded, the other has', async () => {
  const blob = randomBlob(3_000_000);
  const uri = origin.serve('/shared', blob.data);
  const qualifiers = sriOf(blob.data);
  const answer = await fetchBlob(first, { uris: [uri], qualifiers });
  expect([code(answer), answer.blobDigest]).toEqual(['OK', blob.digest]);
  expect((await fetchBlob(second, { uris: [uri], qualifiers })).blobDigest).toEqual(blob.digest);
  expect(requestsFor('/shared')).toBe(1);
  expect(
    (await new Tenant(both, '').read(`blobs/${blob.digest.hash}/${blob.digest.sizeBytes}`)).equals(blob.data),
  ).toBe(true);
});

test('an archive that one replica has unpacked is a folder at the other, and is not fetched again', async () => {
  const packer = pack();
  packer.entry({ name: 'v1/bin/tool', mode: 0o755 }, 'of the tool');
  packer.entry({ name: 'v1/LICENSE' }, 'of the license');
  packer.finalize();
  const archive = gzipSync(await buffer(packer));
  const uri = origin.serve('/v1.tar.gz', archive);
  const qualifiers = [...sriOf(archive), { name: 'directory', value: 'v1' }];
  const request = FetchDirectoryRequest.create({ uris: [uri], qualifiers });
  const { status, rootDirectoryDigest } = await first.unary(FetchService.fetchDirectory, request);
  expect(describeStatus(status).code).toBe('OK');
  const again = await second.unary(FetchService.fetchDirectory, request);
  expect(again.rootDirectoryDigest).toEqual(rootDirectoryDigest);
  expect(requestsFor('/v1.tar.gz')).toBe(1);
  const read = (digest: Digest | undefined) =>
    new Tenant(second, '').read(`blobs/${digest?.hash}/${digest?.sizeBytes}`);
  const root = Directory.decode(await read(rootDirectoryDigest));
  expect(root.files.map(({ name }) => name)).toEqual(['LICENSE']);
  const bin = Directory.decode(await read(root.directories[0]?.digest));
  expect(bin.files).toMatchObject([{ name: 'tool', isExecutable: true }]);
  expect(String(await read(bin.files[0]?.digest))).toBe('of the tool');
});

test('many who ask at once share one download for each replica', async () => {
  const blob = randomBlob(100_000);
  const uri = origin.serve('/herd', (_, response) => setTimeout(() => response.end(blob.data), 300));
  const answers = await Promise.all(Array.from({ length: 40 }, () => fetchBlob(both, { uris: [uri] })));
  for (const answer of answers) expect(answer.blobDigest).toEqual(blob.digest);
  expect(requestsFor('/herd')).toBeLessThanOrEqual(2);
});

test('a download that outlasts its call is there for the next one', async () => {
  const blob = randomBlob(1_000);
  let finish = () => {};
  const uri = origin.serve('/slow', (_, response) => {
    finish = () => response.end(blob.data);
  });
  const leaving = new AbortController();
  const request = FetchBlobRequest.create({ uris: [uri] });
  const call = failure(first.unary(FetchService.fetchBlob, request, { signal: leaving.signal }));
  await expect.poll(() => requestsFor('/slow')).toBe(1);
  leaving.abort();
  expect((await call).code).toBe('CANCELLED');
  finish();
  expect((await fetchBlob(first, { uris: [uri] })).blobDigest).toEqual(blob.digest);
  expect(requestsFor('/slow')).toBe(1);
});

describe('what goes wrong at the origin', () => {
  const cases: ReadonlyArray<{
    readonly what: string;
    readonly code: string;
    readonly answer: Parameters<OriginServer['serve']>[1];
    readonly request?: Parameters<typeof FetchBlobRequest.create>[0];
  }> = [
    { what: 'wrong content', code: 'ABORTED', answer: 'wrong', request: { qualifiers: sriOf(Buffer.from('right')) } },
    {
      what: 'a redirect to our own port',
      code: 'PERMISSION_DENIED',
      answer: (_, response) => response.writeHead(302, { location: `http://${storage.address}/` }).end(),
    },
    {
      what: 'a redirect to metadata',
      code: 'PERMISSION_DENIED',
      answer: (_, response) => response.writeHead(301, { location: 'http://169.254.169.254/latest' }).end(),
    },
    { what: 'nothing there', code: 'NOT_FOUND', answer: (_, response) => response.writeHead(404).end() },
    { what: 'no permission', code: 'PERMISSION_DENIED', answer: (_, response) => response.writeHead(403).end() },
    {
      what: 'too much',
      code: 'RESOURCE_EXHAUSTED',
      answer: (_, response) => response.writeHead(200, { 'content-length': `${2 ** 40}` }).flushHeaders(),
    },
    {
      what: 'too slow an answer',
      code: 'DEADLINE_EXCEEDED',
      answer: () => {},
      request: { timeout: { seconds: 0n, nanos: 300_000_000 } },
    },
  ];

  test.each(cases)('$what is $code in the answer', async ({ what, code: expected, answer, request = {} }) => {
    const uri = origin.serve(`/${what.replaceAll(' ', '-')}`, answer);
    const told = await fetchBlob(both, { uris: [uri], ...request });
    expect([code(told), told.uri, told.blobDigest]).toEqual([expected, uri, undefined]);
  });

  test('a server error and a body cut short fail the call, with a time to come again', async () => {
    const broken = origin.serve('/500', (_, response) => response.writeHead(500, { 'retry-after': '3' }).end());
    const cut = origin.serve('/cut', (_, response) => {
      response.writeHead(200, { 'content-length': '100000' });
      response.write('some', () => response.destroy());
    });
    expect(await failure(fetchBlob(both, { uris: [broken] }))).toMatchObject({
      code: 'UNAVAILABLE',
      retryDelaySeconds: 3,
    });
    expect(await failure(fetchBlob(both, { uris: [cut] }))).toMatchObject({
      code: 'UNAVAILABLE',
      retryDelaySeconds: 1,
    });
  });
});

test('memory does not grow with the size of a download, and nothing is left over', async () => {
  const piece = Buffer.alloc(1 << 20, 'a piece of something large');
  const pieces = 192;
  const uri = origin.serve('/huge', (_, response) => {
    let sent = 0;
    const more = () => {
      while (sent < pieces) {
        sent += 1;
        if (!response.write(piece)) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  });
  const before = await peakMemory(replicas[0]?.pid ?? 0);
  const answer = await fetchBlob(first, { uris: [uri] });
  expect(answer.blobDigest?.sizeBytes).toBe(BigInt(pieces << 20));
  expect((await peakMemory(replicas[0]?.pid ?? 0)) - before).toBeLessThan(96 << 20);
  expect(await readdir(join(folder, 'downloads'))).toEqual([]);
}, 120_000);

test('a replica that is killed in the middle of a download leaves nothing behind', async () => {
  const uri = origin.serve('/endless', (_, response) => {
    response.writeHead(200);
    response.write(Buffer.alloc(1 << 20));
  });
  const call = failure(fetchBlob(second, { uris: [uri] }));
  await expect.poll(() => openFilesIn(join(folder, 'downloads'), replicas[1]?.pid ?? 0)).toHaveLength(1);
  await replicas[1]?.kill();
  expect((await call).code).toBe('UNAVAILABLE');
  expect(await readdir(join(folder, 'downloads'))).toEqual([]);
});

/** The most memory that a process and its children have held so far, in bytes. */
async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}

/** What a process holds open in a folder, by the names that Linux shows for it, those of removed files included. */
async function openFilesIn(directory: string, pid: number): Promise<string[]> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder);
  // A descriptor that was closed meanwhile has none.
  const targets = await Promise.all(names.map((name) => readlink(join(folder, name)).catch(() => '')));
  return targets.filter((target) => target.startsWith(`${directory}/`) && target.endsWith('(deleted)'));
}
