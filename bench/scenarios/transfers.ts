import { randomUUID } from 'node:crypto';
import { loadZstd } from '../../src/lib/zstd.ts';
import { type Blob, blobOf, digestText, randomBlob } from '../../test/support/tenant.ts';
import type { WireClient } from '../../test/support/wire-client.ts';
import { encodeUpload } from '../support/raw-codec.ts';
import { type BenchOptions, inFlight, measure, type Row, type Scenario } from '../support/scenario.ts';
import { type Server, startServer } from '../support/server.ts';
import { read, write } from './byte-stream.ts';

const MEBIBYTE = 1024 * 1024;
const AT_ONCE = [1, 4, 16];

/** A blob, and the messages of its upload in one form. */
interface Upload {
  readonly blob: Blob;
  readonly messages: readonly Buffer[];
}

/** Blobs of 64 MiB in and out, plain and compressed, up to sixteen at once. */
export const transfers: Scenario = {
  name: 'transfers',
  what: 'ByteStream.Write and Read of 64 MiB, plain and zstd, 1, 4 and 16 at once',
  async run(options) {
    const server = await startServer(options);
    const client = server.client();
    try {
      const rows: Row[] = [];
      for (const form of ['plain', 'zstd'] as const) {
        for (const atOnce of AT_ONCE) rows.push(...(await both(server, client, form, atOnce, options)));
      }
      return rows;
    } finally {
      client.close();
      await server.stop();
    }
  },
};

async function both(
  server: Server,
  client: WireClient,
  form: 'plain' | 'zstd',
  atOnce: number,
  options: BenchOptions,
): Promise<[Row, Row]> {
  const mebibytes = Math.max(2, Math.round(64 * options.scale));
  const what = `${mebibytes} MiB, ${form}, ${atOnce} at once`;
  let uploads: Upload[] = [];
  const makeNew = async () => {
    uploads = [];
    for (let i = 0; i < atOnce; i++) {
      uploads.push(await createUpload(mebibytes * MEBIBYTE, form));
      // Making them takes seconds: meanwhile the connection must answer the server's pings.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const writeAll = () =>
    inFlight(atOnce, atOnce, async (i) => {
      await write(client, (uploads[i] as Upload).messages);
      return mebibytes;
    });
  const readAll = () =>
    inFlight(atOnce, atOnce, async (i) => {
      const { digest } = (uploads[i] as Upload).blob;
      if (form === 'plain') await read(client, `blobs/${digestText(digest)}`, mebibytes * MEBIBYTE);
      else await read(client, `compressed-blobs/zstd/${digestText(digest)}`);
      return mebibytes;
    });
  // Every round writes what is not there yet; making it does not count.
  await makeNew();
  const writes = await measure(server, `Write of ${what}`, 'MiB/s', 1, writeAll);
  const reads = await measure(server, `Read of ${what}`, 'MiB/s', options.rounds, readAll);
  return [writes, reads];
}

/** Half of it noise and half of it text, so that it halves when it is compressed. */
async function createUpload(size: number, form: 'plain' | 'zstd'): Promise<Upload> {
  const data = Buffer.alloc(size, 'what compilers print compresses well; ');
  for (let at = 0; at < size; at += 2 * MEBIBYTE) randomBlob(Math.min(MEBIBYTE, size - at)).data.copy(data, at);
  const blob = blobOf(data);
  if (form === 'plain') {
    const name = `uploads/${randomUUID()}/blobs/${digestText(blob.digest)}`;
    return { blob, messages: encodeUpload(name, data, MEBIBYTE) };
  }
  const zstd = await loadZstd();
  if (zstd === undefined) throw new Error('there is no zstd for this machine');
  const packed = Buffer.from(await zstd.compress(data, new AbortController().signal));
  const name = `uploads/${randomUUID()}/compressed-blobs/zstd/${digestText(blob.digest)}`;
  return { blob, messages: encodeUpload(name, packed, MEBIBYTE) };
}
