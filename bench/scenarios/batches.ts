import {
  BatchReadBlobsRequest,
  BatchUpdateBlobsRequest,
  ContentAddressableStorageService,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, randomBlob } from '../../test/support/tenant.ts';
import { inFlight, measure, type Scenario } from '../support/scenario.ts';
import { startServer } from '../support/server.ts';

const BLOBS = 100;
const CONCURRENCY = 4;

/** Blobs of 1 KiB, 100 to a batch, each stored once. */
export const batches: Scenario = {
  name: 'batches',
  what: 'BatchUpdateBlobs and BatchReadBlobs of 100 blobs of 1 KiB',
  async run(options) {
    const server = await startServer(options);
    const client = server.client();
    try {
      const perRound = Math.max(CONCURRENCY, Math.round(200 * options.scale));
      const known: Blob[][] = [];
      const write = async () => {
        const fresh = Array.from({ length: perRound }, () => Array.from({ length: BLOBS }, () => randomBlob(1_024)));
        const round = await inFlight(CONCURRENCY, perRound, async (i) => {
          const requests = (fresh[i] as Blob[]).map(({ digest, data }) => ({ digest, data }));
          const { responses } = await client.unary(
            ContentAddressableStorageService.batchUpdateBlobs,
            BatchUpdateBlobsRequest.create({ requests }),
          );
          if (responses.some((each) => (each.status?.code ?? 0) !== 0)) throw new Error('a blob was refused');
          return BLOBS;
        });
        known.push(...fresh);
        return round;
      };
      await write();
      const writes = await measure(server, 'BatchUpdateBlobs of 100 x 1 KiB', 'blobs/s', options.rounds, write);
      const read = () =>
        inFlight(CONCURRENCY, perRound, async (i) => {
          const digests = (known[i] as Blob[]).map((each) => each.digest);
          const { responses } = await client.unary(
            ContentAddressableStorageService.batchReadBlobs,
            BatchReadBlobsRequest.create({ digests }),
          );
          if (responses.some((each) => each.data.length !== 1_024)) throw new Error('a blob was not answered');
          return BLOBS;
        });
      await read();
      const reads = await measure(server, 'BatchReadBlobs of 100 x 1 KiB', 'blobs/s', options.rounds, read);
      const goal = { of: 'value', atLeast: 20_000 };
      return [
        { ...writes, goal },
        { ...reads, goal },
      ];
    } finally {
      client.close();
      await server.stop();
    }
  },
};
