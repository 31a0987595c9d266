import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runConformance } from '../support/conformance-run.ts';
import { freePort } from '../support/free-port.ts';
import { runProgram } from '../support/program.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { randomBlob, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/** Composed stores, each from a configuration file, as `warren serve` runs them, under the storage cases of conformance. */

const STORAGE_CASES = [
  'action-cache',
  'byte-stream-read',
  'byte-stream-write',
  'compressed-blobs',
  'content-addressable-storage',
  'get-tree',
];
/** Outer time for the cases, which are some hundred calls each. */
const TIMEOUT = 180_000;

let folder: string;
let servers: RunningServer[];
beforeEach(async () => {
  folder = await temporaryFolder('composed');
  servers = [];
});
afterEach(async () => {
  for (const server of servers.splice(0).reverse()) await server.stop();
  await removeFolder(folder);
});

async function serve(name: string, configuration: object): Promise<RunningServer> {
  const server = await startServe(folder, name, configuration);
  servers.push(server);
  return server;
}

/** Runs the storage cases against a server. @returns what was printed where one fails; empty where all hold. */
const conform = (address: string) => runConformance([address], STORAGE_CASES);

async function sizeOfFolder(path: string): Promise<number> {
  const sizes = (await readdir(path)).map(async (name) => (await stat(join(path, name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

const disk = (name: string) => ({ kind: 'disk', directory: join(folder, name), maximumSizeBytes: 1_000_000_000 });
const memory = { kind: 'memory', maximumSizeBytes: 64_000_000 };

describe('warren serve on a composed store', () => {
  it('keeps the storage rules over disks split by size', { timeout: TIMEOUT }, async () => {
    const server = await serve('split', {
      blobs: { kind: 'size-split', thresholdBytes: 4096, small: disk('small'), large: disk('large') },
      actionCache: disk('results'),
    });
    expect(await conform(server.address)).toBe('');
    expect(await server.stop()).toBe(0);
    // What is large for the split is small for the disk, so that each has records of its own.
    for (const name of ['small', 'large']) {
      expect(await sizeOfFolder(join(folder, name, 'segments'))).toBeGreaterThan(4096);
    }
  });

  it('keeps them over sharded and mirrored disks behind an existence cache', { timeout: TIMEOUT }, async () => {
    const mirrors = (name: string) => ({ kind: 'mirrored', mirrors: [disk(`${name}1`), disk(`${name}2`)] });
    const server = await serve('sharded', {
      blobs: {
        kind: 'existence-cache',
        store: {
          kind: 'sharded',
          shards: [
            { name: 'a', store: mirrors('a') },
            { name: 'b', store: mirrors('b') },
          ],
        },
      },
      actionCache: memory,
    });
    expect(await conform(server.address)).toBe('');
    expect(await server.stop()).toBe(0);
  });

  it.each(['write-through', 'write-back'])(
    'keeps them with %s memory in front of another server, whose action cache it uses',
    { timeout: TIMEOUT },
    async (mode) => {
      const origin = await serve('origin', { blobs: disk('origin'), actionCache: disk('origin-results') });
      const remote = { kind: 'remote', endpoint: `grpc://${origin.address}`, connections: 2 };
      const server = await serve('front', {
        blobs: { kind: 'tiered', mode, fast: memory, slow: remote },
        actionCache: mode === 'write-through' ? remote : memory,
      });
      expect(await conform(server.address)).toBe('');
      expect(await server.stop()).toBe(0);
    },
  );
});

it('with write-back on disk, a killed server brings to the slow store what waited', { timeout: TIMEOUT }, async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  const remote = { kind: 'remote', endpoint: `grpc://${listen}` };
  const front = {
    blobs: { kind: 'tiered', mode: 'write-back', fast: disk('front'), slow: remote },
    actionCache: memory,
  };
  const blobs = Array.from({ length: 5 }, () => randomBlob(1000));
  const digests = blobs.map(({ digest }) => digest);
  const upload = async ({ address }: RunningServer) => {
    const client = new WireClient([address]);
    await new Tenant(client, '').upload(...blobs);
    client.close();
  };
  const first = await serve('front', front);
  await upload(first);
  await first.kill();
  await serve('origin', { server: { listen }, blobs: disk('origin'), actionCache: memory });
  await serve('front', front);
  const client = new WireClient([listen]);
  await expect.poll(() => new Tenant(client, '').findMissing(...digests), { timeout: 60_000 }).toEqual([]);
  client.close();
});

it('warren config checks, shows and describes composed stores', async () => {
  const origin = await serve('checked', {
    blobs: { kind: 'tiered', fast: memory, slow: { kind: 'verifying', store: disk('a') } },
    actionCache: memory,
  });
  expect(await origin.stop()).toBe(0);
  const file = join(folder, 'checked.yaml');
  expect(await runProgram(['config', 'check', file])).toMatchObject({ code: 0 });
  const shown = await runProgram(['config', 'show', file]);
  expect(shown.stdout).toContain('mode: write-through');
  expect(shown.stdout).toContain('minimumAgeSeconds: 60');
  const schema = JSON.parse((await runProgram(['config', 'schema'])).stdout) as object;
  expect(JSON.stringify(schema)).toContain('size-split');
});
