import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  BatchUpdateBlobsRequest,
  ContentAddressableStorageService,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ByteStreamService, WriteRequest } from '../../src/proto/google/bytestream/bytestream.ts';
import { type Grid, startGrid } from '../support/grid.ts';
import { digestText, freshBlob, randomBlob, Tenant } from '../support/tenant.ts';
import { failure, WireClient } from '../support/wire-client.ts';

/** What bad input leaves in the data folder of a grid of its own: nothing, or what a client may yet resume. */
let grid: Grid;
let tenant: Tenant;

beforeAll(async () => {
  grid = await startGrid({ workers: 1 });
  tenant = new Tenant(new WireClient([grid.address]), '');
});

afterAll(async () => {
  tenant?.client.close();
  await grid?.stop();
});

/** All files below the data folder, but for lock files. */
async function files(): Promise<string[]> {
  const entries = await readdir(grid.dataDir, { recursive: true, withFileTypes: true });
  return entries
    .filter((each) => each.isFile() && each.name !== 'lock')
    .map((each) => join(each.parentPath, each.name).slice(grid.dataDir.length + 1))
    .sort();
}

describe('bad uploads leave no file behind', () => {
  it('of wrong bytes, too few, too many and unreadable compression', async () => {
    const before = await files();
    const blob = randomBlob(3_000_000);
    const cut = { hash: blob.digest.hash, sizeBytes: 2_000_000n };
    const forged = { digest: blob.digest, data: Buffer.alloc(blob.data.length) };
    await failure(tenant.writeBlob(forged));
    await failure(
      tenant.write({
        resourceName: tenant.writeName(blob.digest),
        data: blob.data.subarray(0, 1_000_000),
        finishWrite: true,
      }),
    );
    await failure(tenant.writeBlob(blob, tenant.writeName(cut)));
    const resourceName = `uploads/11111111-1111-4111-8111-111111111111/compressed-blobs/zstd/${digestText(blob.digest)}`;
    await failure(tenant.write({ resourceName, data: blob.data.subarray(0, 1_000_000), finishWrite: true }));
    expect(await files()).toEqual(before);
  });

  it('of a batch in which no blob fits its digest', async () => {
    const before = await files();
    const request = BatchUpdateBlobsRequest.create({
      requests: [freshBlob(), randomBlob(500_000)].map(({ digest, data }) => ({
        digest,
        data: Buffer.alloc(data.length),
      })),
    });
    const { responses } = await tenant.client.unary(ContentAddressableStorageService.batchUpdateBlobs, request);
    expect(responses.map((each) => each.status?.code)).toEqual([3, 3]);
    expect(await files()).toEqual(before);
  });

  it('of an upload that broke off, once it was finished', async () => {
    const before = await files();
    const blob = randomBlob(2_000_000);
    const resourceName = tenant.writeName(blob.digest);
    const stream = tenant.client.clientStream(ByteStreamService.write);
    await stream.write(WriteRequest.create({ resourceName, data: blob.data.subarray(0, 1_000_000) }));
    await expect
      .poll(async () => (await tenant.queryWriteStatus(resourceName).catch(() => undefined))?.committedSize)
      .toBe(1_000_000n);
    stream.cancel();
    await failure(stream.result);
    await tenant.write({
      resourceName,
      writeOffset: 1_000_000n,
      data: blob.data.subarray(1_000_000),
      finishWrite: true,
    });
    const added = (await files()).filter((each) => !before.includes(each));
    expect(added).toHaveLength(1);
    expect(added[0]).toContain(blob.digest.hash);
  });
});

describe('bad actions leave no folder behind', () => {
  it('of input trees that cannot be staged, and of commands that fail', async () => {
    const missing = { inputRoot: { files: [{ name: 'lost', digest: freshBlob().digest }] } };
    const climbing = { inputRoot: { files: [{ name: '../up', digest: freshBlob().digest }] } };
    const failing = { command: { arguments: ['/bin/sh', '-c', 'mkdir -p a/b; echo x > a/b/c; chmod 0 a; exit 3'] } };
    for (const options of [missing, climbing, failing]) {
      const { action } = await tenant.prepare(options);
      await tenant.execute(action.digest).finish();
    }
    await expect.poll(() => readdir(join(grid.dataDir, 'worker/work'))).toEqual(['directories']);
  });
});
