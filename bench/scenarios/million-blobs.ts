import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  ContentAddressableStorageService,
  type Digest,
  FindMissingBlobsRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { RedisServer } from '../../test/support/redis-server.ts';
import { freshBlob } from '../../test/support/tenant.ts';
import { WireClient } from '../../test/support/wire-client.ts';
import { type BenchOptions, inFlight, MeasuredCase, type Row, type Scenario } from '../support/scenario.ts';
import { profileArgs, Server, startHelper } from '../support/server.ts';

const BLOBS = 1_000_000;
const root = fileURLToPath(new URL('../..', import.meta.url));

/** A server with a million blobs: how soon it is ready, how large it is, and how quickly it tells what is missing. */
export const millionBlobs: Scenario = {
  name: 'million-blobs',
  what: 'start, memory and FindMissingBlobs with a million blobs, on disk and with an index in Redis',
  async run(options) {
    const folder = await mkdtemp(join(tmpdir(), 'warren-million-'));
    const redis = await RedisServer.start();
    const count = Math.round(BLOBS * options.scale);
    try {
      const directory = join(folder, 'blobs');
      await (await startHelper('fill-disk.ts', [directory, `${count}`])).stop();
      const disk = { blobs: { kind: 'disk', directory } };
      const rows = [
        await startUp(folder, disk, count, options),
        ...(await lookups('disk', folder, disk, count, options)),
      ];
      await (await startHelper('fill-redis-index.ts', [`${redis.port}`, `${count}`])).stop();
      const index = { kind: 'redis', addresses: [`127.0.0.1:${redis.port}`] };
      const indexed = { blobs: { kind: 'indexed', index, store: { kind: 'memory' } } };
      return [...rows, ...(await lookups('index in Redis', folder, indexed, count, options))];
    } finally {
      await redis[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    }
  },
};

/** Ready after a clean stop, and what it holds then. */
async function startUp(folder: string, storage: object, count: number, options: BenchOptions): Promise<Row> {
  const seconds: number[] = [];
  let mebibytes = 0;
  for (let round = 0; round < options.rounds; round++) {
    const began = performance.now();
    const server = await serve(folder, storage, options);
    seconds.push((performance.now() - began) / 1_000);
    mebibytes = Math.max(mebibytes, server.residentMebibytes());
    await server.stop();
  }
  seconds.sort((a, b) => a - b);
  return {
    name: `start with ${count} blobs on disk, after a clean stop`,
    unit: 's',
    value: seconds[Math.floor(seconds.length / 2)] ?? 0,
    spread: [seconds[0] ?? 0, seconds.at(-1) ?? 0],
    serverMebibytes: mebibytes,
    goal: [
      { of: 'value', atMost: 10 },
      { of: 'serverMebibytes', atMost: 400 },
    ],
  };
}

async function lookups(
  where: string,
  folder: string,
  storage: object,
  count: number,
  options: BenchOptions,
): Promise<Row[]> {
  const server = await serve(folder, storage, options);
  const client = server.client();
  try {
    const rows: Row[] = [];
    for (const { digests, calls } of [
      { digests: 1_000, calls: 100 },
      { digests: 10_000, calls: 40 },
    ]) {
      const requests = Array.from({ length: 8 }, (_, i) => requestOf(digests, i, count));
      const round = () =>
        inFlight(1, Math.max(4, Math.round(calls * options.scale)), async (i) => {
          const request = requests[i % requests.length] as FindMissingBlobsRequest;
          const answer = await client.unary(ContentAddressableStorageService.findMissingBlobs, request);
          if (answer.missingBlobDigests.length !== digests / 10) throw new Error('a tenth should be missing');
          return 1;
        });
      await round();
      const name = `FindMissingBlobs of ${digests} among ${count}, ${where}`;
      const measured = new MeasuredCase(server, name, 'calls/s');
      const latencies: number[] = [];
      for (let i = 0; i < options.rounds; i++) latencies.push(...(await measured.round(round)).latencies);
      latencies.sort((a, b) => a - b);
      const p95 = latencies[Math.floor(latencies.length * 0.95)] ?? 0;
      rows.push({
        ...measured.row(),
        details: { 'p95 ms': p95 },
        ...(digests === 10_000 ? { goal: { of: 'p95 ms', atMost: 100 } } : {}),
      });
    }
    return rows;
  } finally {
    client.close();
    await server.stop();
  }
}

/** Digests of which nine tenths are stored, from all over the store. */
function requestOf(digests: number, salt: number, count: number): FindMissingBlobsRequest {
  return FindMissingBlobsRequest.create({
    blobDigests: Array.from({ length: digests }, (_, i) =>
      i % 10 === 0 ? freshBlob().digest : storedDigest((i * 7_919 + salt * 104_729) % count),
    ),
  });
}

function storedDigest(i: number): Digest {
  const data = Buffer.from(`blob ${i}`.padEnd(200));
  return { hash: createHash('sha256').update(data).digest('hex'), sizeBytes: BigInt(data.byteLength) };
}

/** `warren serve` of the compiled program, once it says that it serves. */
async function serve(folder: string, storage: object, options: BenchOptions): Promise<Server> {
  const file = join(folder, 'warren.yaml');
  const configuration = {
    roles: ['cas', 'action-cache'],
    server: { listen: '127.0.0.1:0' },
    actionCache: { kind: 'memory' },
    ...storage,
  };
  await writeFile(file, JSON.stringify(configuration));
  const child = spawn(
    process.execPath,
    [...profileArgs(options), join(root, 'dist/bin/main.js'), 'serve', '--config', file],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const address = await new Promise<string>((resolve, reject) => {
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => {
      log = (log + chunk.toString()).slice(-20_000);
      const port = /"port":(\d+)/.exec(log)?.[1];
      if (port !== undefined) resolve(`127.0.0.1:${port}`);
    });
    child.once('exit', (code) => reject(new Error(`warren serve ended with ${code}: ${log}`)));
  });
  // What counts is an answer, not a line in the log.
  const client = new WireClient([address]);
  await client.unary(ContentAddressableStorageService.findMissingBlobs, FindMissingBlobsRequest.create());
  client.close();
  return new Server([address], [child.pid as number], async () => {
    child.kill('SIGTERM');
    await exited;
  });
}
