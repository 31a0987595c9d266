import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startServe } from '../support/serve.ts';
import { SimulatedBot } from '../support/simulated-bot.ts';
import { randomBlob, Stage, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

const MIB = 1024 * 1024;

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder('eviction');
});
afterEach(() => removeFolder(folder));

describe('a build on a disk that is too small', () => {
  it.each([
    ['one disk', (disk: (name: string) => object) => disk('blobs')],
    [
      'two disks split by size',
      (disk: (name: string) => object) => ({
        kind: 'size-split',
        thresholdBytes: 16_384,
        small: disk('small'),
        large: disk('large'),
      }),
    ],
  ])('on %s keeps what waiting actions need, and nothing else', async (_what, blobs) => {
    const disk = (name: string) => ({
      kind: 'disk',
      directory: join(folder, name),
      maximumSizeBytes: 8 * MIB,
      minimumAgeSeconds: 0,
    });
    // Nobody serves the actions until everything is uploaded, which takes a busy machine long.
    const scheduling = { unservedSeconds: 600 };
    const server = await startServe(folder, 'server', {
      blobs: blobs(disk),
      actionCache: { kind: 'memory' },
      scheduling,
    });
    const client = new WireClient([server.address]);
    try {
      const tenant = new Tenant(client, '');
      const other = randomBlob(1_000);
      await tenant.upload(other);
      const platform = { properties: [{ name: 'OSFamily', value: 'nowhere' }] };
      const prepared = await Promise.all([1, 2, 3].map(() => tenant.prepare({ action: { platform } })));
      const executions = prepared.map(({ action }) => tenant.execute(action.digest));
      for (const execution of executions) await execution.until(Stage.QUEUED);

      for (let uploaded = 0; uploaded < 24 * MIB; uploaded += 2 * MIB) {
        await tenant.upload(...Array.from({ length: 256 }, () => randomBlob(8_192)), randomBlob(3 * (MIB / 2)));
      }

      expect(await tenant.has(other.digest)).toBe(false);
      const needed = prepared.flatMap((each) => each.blobs.map(({ digest }) => digest));
      expect(await tenant.findMissing(...needed)).toEqual([]);
      const bot = new SimulatedBot(client, { properties: [['OSFamily', 'nowhere']] });
      for (const execution of executions) {
        await bot.serveOne();
        expect((await execution.finish()).status?.code ?? 0).toBe(0);
      }
    } finally {
      client.close();
      expect(await server.stop()).toBe(0);
    }
  });
});
