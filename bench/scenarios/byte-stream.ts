import { createHash } from 'node:crypto';
import type { Digest } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ReadRequest, WriteRequest } from '../../src/proto/google/bytestream/bytestream.ts';
import { type Blob, randomBlob, Tenant } from '../../test/support/tenant.ts';
import { WireClient } from '../../test/support/wire-client.ts';
import { countingRead, encodedWrite, encodeUpload } from '../support/raw-codec.ts';
import { type BenchOptions, inFlight, measure, type Row, type Scenario } from '../support/scenario.ts';
import { type Server, startBareServer, startHelper, startServer } from '../support/server.ts';

const MEGABYTE = 1e6;
const MEBIBYTE = 1024 * 1024;
const SIZE = 64 * MEBIBYTE;
const DELAY_MS = 5;

/** One blob of 64 MiB each way, on loopback and across a network of 5 ms. */
export const byteStream: Scenario = {
  name: 'byte-stream',
  what: 'ByteStream.Read and Write of 64 MiB, on loopback and through a proxy that adds 5 ms each way',
  async run(options) {
    const server = await startServer(options);
    const bare = await startBareServer();
    const proxy = await startHelper('proxy-process.ts', [`${server.port}`, `${DELAY_MS}`]);
    try {
      const floor = await both(bare, bare.address, 'loopback', options);
      const near = await both(server, server.address, 'loopback', options);
      const far = await both(server, proxy.firstLine, `${DELAY_MS} ms each way`, options);
      return [
        { ...near[0], ofBare: near[0].value / floor[0].value, goal: { of: 'value', atLeast: 276 } },
        { ...near[1], ofBare: near[1].value / floor[1].value },
        { ...far[0], goal: { of: 'value', atLeast: 50 } },
        { ...far[1], goal: { of: 'value', atLeast: 50 } },
      ];
    } finally {
      await Promise.all([server.stop(), bare.stop(), proxy.stop()]);
    }
  },
};

/** Sixteen at once, and what it costs the server in memory. */
export const memory: Scenario = {
  name: 'memory',
  what: 'the memory of the server through uploads and downloads of 64 MiB, 16 at once',
  async run(options) {
    const server = await startServer(options);
    const client = server.client();
    try {
      const tenant = new Tenant(client, '');
      const concurrency = 16;
      const size = Math.max(2 * MEBIBYTE, Math.round(64 * options.scale) * MEBIBYTE);
      const blobs = similarBlobs(concurrency, size);
      const goal = { of: 'serverMebibytes', atMost: 300 } as const;
      const upload = await measure(server, `Write of ${size / MEBIBYTE} MiB, 16 at once`, 'MB/s', 1, () =>
        inFlight(concurrency, concurrency, async (i) => {
          const blob = blobs[i] as SimilarBlob;
          await write(client, blob.upload(tenant.writeName(blob.digest)));
          return size / MEGABYTE;
        }),
      );
      const download = await measure(server, `Read of ${size / MEBIBYTE} MiB, 16 at once`, 'MB/s', options.rounds, () =>
        inFlight(concurrency, concurrency, async (i) => {
          await read(client, tenant.readName((blobs[i] as SimilarBlob).digest), size);
          return size / MEGABYTE;
        }),
      );
      return [
        { ...upload, goal },
        { ...download, goal },
      ];
    } finally {
      client.close();
      await server.stop();
    }
  },
};

interface SimilarBlob {
  readonly digest: Digest;
  /** The encoded messages of its upload. */
  upload(resourceName: string): Buffer[];
}

/** Blobs that differ in their first MiB alone, so that the client holds the rest once. */
function similarBlobs(count: number, size: number): SimilarBlob[] {
  const base = randomBlob(size);
  const shared = encodeUpload('', base.data, MEBIBYTE).slice(1);
  return Array.from({ length: count }, (_, i) => {
    const head = Buffer.from(base.data.subarray(0, MEBIBYTE));
    head.writeUInt32LE(i);
    const hash = createHash('sha256').update(head).update(base.data.subarray(MEBIBYTE)).digest('hex');
    const digest = { hash, sizeBytes: BigInt(size) };
    return {
      digest,
      upload: (resourceName) => [
        Buffer.from(WriteRequest.encode(WriteRequest.create({ resourceName, data: head })).finish()),
        ...shared,
      ],
    };
  });
}

async function both(server: Server, address: string, place: string, options: BenchOptions): Promise<[Row, Row]> {
  const client = new WireClient([address]);
  const tenant = new Tenant(client, '');
  let last: Blob | undefined;
  const writeOne = () => {
    const blob = randomBlob(SIZE);
    const messages = encodeUpload(tenant.writeName(blob.digest), blob.data, MEBIBYTE);
    last = blob;
    return inFlight(1, 1, async () => {
      await write(client, messages);
      return SIZE / MEGABYTE;
    });
  };
  const readOne = () =>
    inFlight(1, 1, async () => {
      await read(client, tenant.readName((last as Blob).digest), SIZE);
      return SIZE / MEGABYTE;
    });
  await writeOne();
  await readOne();
  await readOne();
  const reads = await measure(server, `Read of 64 MiB, ${place}`, 'MB/s', options.rounds, readOne);
  const writes = await measure(server, `Write of 64 MiB, ${place}`, 'MB/s', options.rounds, writeOne);
  client.close();
  return [reads, writes];
}

/** Sends the messages of one upload. */
export async function write(client: WireClient, messages: readonly Buffer[]): Promise<void> {
  const stream = client.clientStream(encodedWrite, { deadline: null });
  for (const message of messages) await stream.write(message);
  stream.end();
  await stream.result;
}

/** Reads a blob; its bytes are counted, and held against `size` where that is known. */
export async function read(client: WireClient, resourceName: string, size?: number): Promise<void> {
  let bytes = 0;
  const request = ReadRequest.create({ resourceName });
  for await (const count of client.serverStream(countingRead, request, { deadline: null })) bytes += count;
  if (size !== undefined && bytes !== size) throw new Error(`${bytes} bytes came of ${size}`);
}
