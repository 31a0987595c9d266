import {
  ContentAddressableStorageService,
  FindMissingBlobsRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, freshBlob, Tenant } from '../../test/support/tenant.ts';
import { type BenchOptions, inFlight, measure, type Row, type Scenario } from '../support/scenario.ts';
import { type Server, startBareServer, startServer } from '../support/server.ts';

const CASES = [
  { digests: 1, concurrency: 1, calls: 1_000 },
  { digests: 1, concurrency: 16, calls: 6_000 },
  { digests: 100, concurrency: 16, calls: 2_000 },
  { digests: 10_000, concurrency: 1, calls: 20 },
] as const;

/** FindMissingBlobs of which half is stored. */
export const findMissingBlobs: Scenario = {
  name: 'find-missing-blobs',
  what: 'FindMissingBlobs of 1, 100 and 10 000 digests, half of them stored',
  async run(options) {
    const server = await startServer(options);
    const bare = await startBareServer();
    try {
      const stored = Array.from({ length: 5_000 }, () => freshBlob());
      const tenant = new Tenant(server.client(), '');
      for (let i = 0; i < stored.length; i += 500) await tenant.upload(...stored.slice(i, i + 500));
      const rows: Row[] = [];
      for (const each of CASES) {
        const floor = await one(bare, stored, each, options);
        const row = await one(server, stored, each, options);
        rows.push({ ...row, ofBare: row.value / floor.value });
      }
      tenant.client.close();
      return rows;
    } finally {
      await Promise.all([server.stop(), bare.stop()]);
    }
  },
};

async function one(
  server: Server,
  stored: readonly Blob[],
  { digests, concurrency, calls }: (typeof CASES)[number],
  options: BenchOptions,
): Promise<Row> {
  const client = server.client();
  const request = FindMissingBlobsRequest.create({
    blobDigests: Array.from({ length: digests }, (_, i) =>
      i % 2 === 0 ? (stored[(i / 2) % stored.length] as Blob).digest : freshBlob().digest,
    ),
  });
  const count = Math.max(concurrency, Math.round(calls * options.scale));
  const round = () =>
    inFlight(concurrency, count, async () => {
      await client.unary(ContentAddressableStorageService.findMissingBlobs, request);
      return 1;
    });
  await round();
  const name = `FindMissingBlobs of ${digests}, ${concurrency} in flight`;
  const row = await measure(server, name, 'calls/s', options.rounds, round);
  client.close();
  return row;
}
