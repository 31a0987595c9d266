import {
  ContentAddressableStorageService,
  Directory,
  GetTreeRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, blobOf, freshBlob, Tenant } from '../../test/support/tenant.ts';
import { inFlight, measure, type Scenario } from '../support/scenario.ts';
import { startServer } from '../support/server.ts';

const DIRECTORIES = 1_000;
const FILES = 10;

/** A tree of 1 000 directories of 10 files each. */
export const getTree: Scenario = {
  name: 'get-tree',
  what: 'GetTree of 1 000 directories of 10 files each',
  async run(options) {
    const server = await startServer(options);
    const client = server.client();
    try {
      const tenant = new Tenant(client, '');
      const directory = (content: Parameters<typeof Directory.create>[0]): Blob =>
        blobOf(Directory.encode(Directory.create(content)).finish());
      const leaves = Array.from({ length: DIRECTORIES - 1 }, () =>
        directory({ files: Array.from({ length: FILES }, (_, i) => ({ name: `f${i}`, digest: freshBlob().digest })) }),
      );
      const root = directory({
        directories: leaves.map((each, i) => ({ name: `d${`${i}`.padStart(4, '0')}`, digest: each.digest })),
      });
      for (const blobs of [leaves, [root]]) await tenant.upload(...blobs);
      const round = () =>
        inFlight(1, Math.max(1, Math.round(10 * options.scale)), async () => {
          const pages = await client.collect(
            ContentAddressableStorageService.getTree,
            GetTreeRequest.create({ rootDigest: root.digest }),
          );
          const count = pages.reduce((sum, each) => sum + each.directories.length, 0);
          if (count !== DIRECTORIES) throw new Error(`${count} directories came`);
          return DIRECTORIES;
        });
      await round();
      return [await measure(server, 'GetTree of 1 000 directories', 'directories/s', options.rounds, round)];
    } finally {
      client.close();
      await server.stop();
    }
  },
};
