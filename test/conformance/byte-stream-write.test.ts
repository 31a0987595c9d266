import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ByteStreamService, WriteRequest } from '../../src/proto/google/bytestream/bytestream.ts';
import { type Blob, digestText, EMPTY_BLOB, freshBlob, randomBlob, type Tenant } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect } from './target.ts';

const tenant = connect();
const { client } = tenant;

/** Sends the first `size` bytes, and breaks off without finish_write. */
async function writePart(tenant: Tenant, blob: Blob, resourceName: string, size: number): Promise<void> {
  await tenant
    .write({ resourceName, writeOffset: 0n, data: blob.data.subarray(0, size), finishWrite: false })
    .catch(() => {});
}

describe('ByteStream.Write', () => {
  it('one message with finish_write stores the blob, and committed_size is its size', async () => {
    const blob = freshBlob();
    const answer = await tenant.writeBlob(blob);
    expect(answer.committedSize).toBe(blob.digest.sizeBytes);
    expect(await tenant.read(tenant.readName(blob.digest))).toEqual(blob.data);
  });

  it('many messages store the blob', async () => {
    const blob = randomBlob(5 * 1024 * 1024 + 3);
    const answer = await tenant.writeBlob(blob, undefined, 1024 * 1024);
    expect(answer.committedSize).toBe(blob.digest.sizeBytes);
    expect((await tenant.read(tenant.readName(blob.digest))).equals(blob.data)).toBe(true);
  });

  it('a finish_write without data may come last', async () => {
    const blob = freshBlob();
    const resourceName = tenant.writeName(blob.digest);
    const answer = await tenant.write(
      { resourceName, data: blob.data },
      { writeOffset: blob.digest.sizeBytes, finishWrite: true },
    );
    expect(answer.committedSize).toBe(blob.digest.sizeBytes);
    expect(await tenant.has(blob.digest)).toBe(true);
  });

  it('the resource name may be repeated in every message', async () => {
    const blob = randomBlob(1_000);
    const resourceName = tenant.writeName(blob.digest);
    await tenant.write(
      { resourceName, data: blob.data.subarray(0, 500) },
      { resourceName, writeOffset: 500n, data: blob.data.subarray(500), finishWrite: true },
    );
    expect(await tenant.has(blob.digest)).toBe(true);
  });

  it('metadata may follow the size in the resource name', async () => {
    const blob = freshBlob();
    await tenant.writeBlob(blob, `${tenant.writeName(blob.digest)}/some/path/of a file.o`);
    expect(await tenant.has(blob.digest)).toBe(true);
  });

  it('the empty blob is taken', async () => {
    expect((await tenant.writeBlob(EMPTY_BLOB)).committedSize).toBe(0n);
  });

  it('a blob that is stored already ends the call at once with its full size', async () => {
    const blob = randomBlob(4 * 1024 * 1024);
    await tenant.writeBlob(blob);
    const stream = client.clientStream(ByteStreamService.write);
    await stream.write(
      WriteRequest.create({ resourceName: tenant.writeName(blob.digest), data: blob.data.subarray(0, 1_000) }),
    );
    expect((await stream.result).committedSize).toBe(blob.digest.sizeBytes);
    stream.cancel();
  });

  it('a blob that another client completes in between ends the call with its full size', async () => {
    const blob = randomBlob(200_000);
    const stream = client.clientStream(ByteStreamService.write);
    const resourceName = tenant.writeName(blob.digest);
    await stream.write(WriteRequest.create({ resourceName, data: blob.data.subarray(0, 1_000) }));
    await tenant.upload(blob);
    const rest = { writeOffset: 1_000n, data: blob.data.subarray(1_000), finishWrite: true };
    await stream.write(WriteRequest.create(rest));
    stream.end();
    expect((await stream.result).committedSize).toBe(blob.digest.sizeBytes);
  });

  it('a stream that ends without finish_write is answered with what is committed, and completes nothing', async () => {
    const blob = randomBlob(10_000);
    const resourceName = tenant.writeName(blob.digest);
    const { committedSize } = await tenant.write({ resourceName, data: blob.data.subarray(0, 4_000) });
    expect([0n, 4_000n]).toContain(committedSize);
    const status = await tenant.queryWriteStatus(resourceName).catch(() => undefined);
    expect(status?.complete ?? false).toBe(false);
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  it('messages without data keep the call alive', async () => {
    const blob = freshBlob();
    const half = blob.data.length / 2;
    await tenant.write(
      { resourceName: tenant.writeName(blob.digest) },
      { data: blob.data.subarray(0, half) },
      { writeOffset: BigInt(half) },
      { writeOffset: BigInt(half), data: blob.data.subarray(half), finishWrite: true },
    );
    expect(await tenant.read(tenant.readName(blob.digest))).toEqual(blob.data);
  });

  it('the header that repeats the resource name is accepted', async () => {
    const blob = freshBlob();
    const resourceName = tenant.writeName(blob.digest);
    const headers = { 'build.bazel.remote.execution.v2.resource-name': resourceName };
    const stream = client.clientStream(ByteStreamService.write, { headers });
    await stream.write(WriteRequest.create({ resourceName, data: blob.data, finishWrite: true }));
    stream.end();
    expect((await stream.result).committedSize).toBe(blob.digest.sizeBytes);
  });

  choice('a header with another resource name gives INVALID_ARGUMENT', async () => {
    const blob = freshBlob();
    const headers = { 'build.bazel.remote.execution.v2.resource-name': tenant.writeName(freshBlob().digest) };
    const stream = client.clientStream(ByteStreamService.write, { headers });
    const resourceName = tenant.writeName(blob.digest);
    await stream.write(WriteRequest.create({ resourceName, data: blob.data, finishWrite: true }));
    stream.end();
    expect((await failure(stream.result)).code).toBe('INVALID_ARGUMENT');
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  it('uploads of one blob at the same time all succeed', async () => {
    const blob = randomBlob(2 * 1024 * 1024);
    const answers = await Promise.all(Array.from({ length: 8 }, () => tenant.writeBlob(blob)));
    expect(answers.map((each) => each.committedSize)).toEqual(answers.map(() => blob.digest.sizeBytes));
    expect((await tenant.read(tenant.readName(blob.digest))).equals(blob.data)).toBe(true);
  });

  it('one UUID may serve for several blobs', async () => {
    const uuid = randomUUID();
    const blobs = [freshBlob(), freshBlob()];
    await Promise.all(blobs.map((each) => tenant.writeBlob(each, tenant.writeName(each.digest, uuid))));
    expect(await tenant.findMissing(...blobs.map((each) => each.digest))).toEqual([]);
  });

  it('bytes that do not fit the hash give INVALID_ARGUMENT and nothing is stored', async () => {
    const blob = randomBlob(100_000);
    const forged = { digest: blob.digest, data: Buffer.alloc(blob.data.length, 1) };
    expect((await failure(tenant.writeBlob(forged))).code).toBe('INVALID_ARGUMENT');
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  it('fewer bytes than the size give INVALID_ARGUMENT and nothing is stored', async () => {
    const blob = randomBlob(100_000);
    const resourceName = tenant.writeName(blob.digest);
    const call = tenant.write({ resourceName, data: blob.data.subarray(0, 50_000), finishWrite: true });
    expect((await failure(call)).code).toBe('INVALID_ARGUMENT');
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  it('more bytes than the size give INVALID_ARGUMENT and nothing is stored', async () => {
    const blob = randomBlob(100_000);
    const wrong = { hash: blob.digest.hash, sizeBytes: 50_000n };
    expect((await failure(tenant.writeBlob(blob, tenant.writeName(wrong)))).code).toBe('INVALID_ARGUMENT');
    expect(await tenant.findMissing(blob.digest, wrong)).toHaveLength(2);
  });

  it('a failed upload can be made anew under the same name', async () => {
    const blob = randomBlob(10_000);
    const resourceName = tenant.writeName(blob.digest);
    await failure(tenant.write({ resourceName, data: Buffer.alloc(10_000), finishWrite: true }));
    expect((await tenant.writeBlob(blob, resourceName)).committedSize).toBe(blob.digest.sizeBytes);
    expect(await tenant.has(blob.digest)).toBe(true);
  });

  it('a blob is not there before finish_write', async () => {
    const blob = randomBlob(10_000);
    const stream = client.clientStream(ByteStreamService.write);
    await stream.write(WriteRequest.create({ resourceName: tenant.writeName(blob.digest), data: blob.data }));
    expect(await tenant.has(blob.digest)).toBe(false);
    await stream.write(WriteRequest.create({ writeOffset: 10_000n, finishWrite: true }));
    stream.end();
    await stream.result;
    expect(await tenant.has(blob.digest)).toBe(true);
  });

  it('a write_offset that leaves a gap within the call is refused', async () => {
    const blob = randomBlob(1_000);
    const call = tenant.write(
      { resourceName: tenant.writeName(blob.digest), data: blob.data.subarray(0, 500) },
      { writeOffset: 600n, data: blob.data.subarray(600), finishWrite: true },
    );
    expect(['INVALID_ARGUMENT', 'OUT_OF_RANGE']).toContain((await failure(call)).code);
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  it('a first write_offset beyond what is committed is refused', async () => {
    const blob = randomBlob(1_000);
    const call = tenant.write({
      resourceName: tenant.writeName(blob.digest),
      writeOffset: 500n,
      data: blob.data.subarray(500),
      finishWrite: true,
    });
    expect(['INVALID_ARGUMENT', 'OUT_OF_RANGE']).toContain((await failure(call)).code);
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  it('another resource name in a later message gives INVALID_ARGUMENT', async () => {
    const blob = randomBlob(1_000);
    const call = tenant.write(
      { resourceName: tenant.writeName(blob.digest), data: blob.data.subarray(0, 500) },
      {
        resourceName: tenant.writeName(freshBlob().digest),
        writeOffset: 500n,
        data: blob.data.subarray(500),
        finishWrite: true,
      },
    );
    expect((await failure(call)).code).toBe('INVALID_ARGUMENT');
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  choice('a message after finish_write gives INVALID_ARGUMENT', async () => {
    const blob = randomBlob(1_000);
    const call = tenant.write(
      { resourceName: tenant.writeName(blob.digest), data: blob.data.subarray(0, 500), finishWrite: true },
      { writeOffset: 500n, data: blob.data.subarray(500), finishWrite: true },
    );
    expect((await failure(call)).code).toBe('INVALID_ARGUMENT');
  });

  choice('a stream without a message gives INVALID_ARGUMENT', async () => {
    expect((await failure(tenant.write())).code).toBe('INVALID_ARGUMENT');
  });

  choice('a negative write_offset is refused with a message that names it', async () => {
    const blob = freshBlob();
    const error = await failure(
      tenant.write({ resourceName: tenant.writeName(blob.digest), writeOffset: -5n, data: blob.data }),
    );
    expect(['INVALID_ARGUMENT', 'OUT_OF_RANGE']).toContain(error.code);
    expect(error.message).toContain('write_offset');
  });
});

describe('ByteStream.QueryWriteStatus and resuming', () => {
  it('an upload that broke off goes on at committed_size', async () => {
    const blob = randomBlob(2 * 1024 * 1024);
    const resourceName = tenant.writeName(blob.digest);
    await writePart(tenant, blob, resourceName, 1024 * 1024);
    const status = await tenant.queryWriteStatus(resourceName);
    expect(status.complete).toBe(false);
    expect(status.committedSize).toBeLessThanOrEqual(1024n * 1024n);
    const offset = Number(status.committedSize);
    const answer = await tenant.write({
      resourceName,
      writeOffset: status.committedSize,
      data: blob.data.subarray(offset),
      finishWrite: true,
    });
    expect(answer.committedSize).toBe(blob.digest.sizeBytes);
    expect((await tenant.read(tenant.readName(blob.digest))).equals(blob.data)).toBe(true);
  });

  it('a finished upload is complete, and its committed_size is its size', async () => {
    const blob = freshBlob();
    const resourceName = tenant.writeName(blob.digest);
    await tenant.writeBlob(blob, resourceName);
    const status = await tenant.queryWriteStatus(resourceName);
    expect(status).toEqual({ committedSize: blob.digest.sizeBytes, complete: true });
  });

  it('committed_size never goes back while an upload grows', async () => {
    const blob = randomBlob(300_000);
    const resourceName = tenant.writeName(blob.digest);
    const stream = client.clientStream(ByteStreamService.write);
    const committed: bigint[] = [];
    for (let offset = 0; offset < blob.data.length; offset += 50_000) {
      const data = blob.data.subarray(offset, offset + 50_000);
      const finishWrite = offset + data.length === blob.data.length;
      await stream.write(WriteRequest.create({ resourceName, writeOffset: BigInt(offset), data, finishWrite }));
      const status = await tenant.queryWriteStatus(resourceName).catch(() => ({ committedSize: 0n }));
      committed.push(status.committedSize);
    }
    stream.end();
    committed.push((await stream.result).committedSize, (await tenant.queryWriteStatus(resourceName)).committedSize);
    expect(committed).toEqual(committed.toSorted((one, other) => Number(one - other)));
    expect(committed.at(-1)).toBe(blob.digest.sizeBytes);
  });

  it('an upload that nobody began gives NOT_FOUND, or a committed_size of nothing', async () => {
    try {
      const status = await tenant.queryWriteStatus(tenant.writeName(freshBlob().digest));
      expect(status).toEqual({ committedSize: 0n, complete: false });
    } catch (error) {
      expect((await failure(Promise.reject(error))).code).toBe('NOT_FOUND');
    }
  });

  it('a client may begin anew at offset 0 instead of resuming', async () => {
    const blob = randomBlob(200_000);
    const resourceName = tenant.writeName(blob.digest);
    await writePart(tenant, blob, resourceName, 100_000);
    expect((await tenant.writeBlob(blob, resourceName)).committedSize).toBe(blob.digest.sizeBytes);
    expect((await tenant.read(tenant.readName(blob.digest))).equals(blob.data)).toBe(true);
  });

  choice('an upload whose client was cut off keeps what arrived, and goes on', async () => {
    const blob = randomBlob(400_000);
    const resourceName = tenant.writeName(blob.digest);
    const stream = client.clientStream(ByteStreamService.write);
    await stream.write(WriteRequest.create({ resourceName, data: blob.data.subarray(0, 200_000) }));
    await expect
      .poll(
        () =>
          tenant.queryWriteStatus(resourceName).then(
            (each) => each.committedSize,
            () => 0n,
          ),
        { timeout: 5_000 },
      )
      .toBe(200_000n);
    stream.cancel();
    await failure(stream.result);
    await expect
      .poll(
        async () => {
          const { committedSize } = await tenant.queryWriteStatus(resourceName);
          const rest = blob.data.subarray(Number(committedSize));
          const message = { resourceName, writeOffset: committedSize, data: rest, finishWrite: true };
          return tenant.write(message).then(
            (each) => each.committedSize,
            () => 0n,
          );
        },
        { timeout: 5_000 },
      )
      .toBe(blob.digest.sizeBytes);
    expect((await tenant.read(tenant.readName(blob.digest))).equals(blob.data)).toBe(true);
  });

  choice('a blob that came by another way is complete under any upload name', async () => {
    const blob = freshBlob();
    await tenant.upload(blob);
    const status = await tenant.queryWriteStatus(tenant.writeName(blob.digest));
    expect(status).toEqual({ committedSize: blob.digest.sizeBytes, complete: true });
  });

  choice('a name that is no upload gives INVALID_ARGUMENT that names the field', async () => {
    for (const resourceName of ['', 'uploads', tenant.readName(freshBlob().digest)]) {
      const error = await failure(tenant.queryWriteStatus(resourceName));
      expect(error.code).toBe('INVALID_ARGUMENT');
      expect(error.message).toContain('resource_name');
    }
  });
});

describe('WriteRequest.resource_name', () => {
  const uuid = randomUUID();
  const { hash } = freshBlob().digest;
  const broken: ReadonlyArray<readonly [what: string, name: string]> = [
    ['empty', ''],
    ['without uploads', tenant.resource(`blobs/${hash}/36`)],
    ['without a UUID', tenant.resource(`uploads/blobs/${hash}/36`)],
    ['without a size', tenant.resource(`uploads/${uuid}/blobs/${hash}`)],
    ['with a size that is no number', tenant.resource(`uploads/${uuid}/blobs/${hash}/many`)],
    ['with a negative size', tenant.resource(`uploads/${uuid}/blobs/${hash}/-36`)],
    ['with a size beyond int64', tenant.resource(`uploads/${uuid}/blobs/${hash}/99999999999999999999`)],
    ['with a short hash', tenant.resource(`uploads/${uuid}/blobs/${hash.slice(2)}/36`)],
    ['with a hash in upper case', tenant.resource(`uploads/${uuid}/blobs/${'AB'.repeat(32)}/36`)],
    ['with a path for a hash', tenant.resource(`uploads/${uuid}/blobs/..%2F..%2Fetc/36`)],
    ['with an unknown digest function', tenant.resource(`uploads/${uuid}/blobs/rot13/${hash}/36`)],
  ];
  for (const [what, resourceName] of broken) {
    it(`${what} gives INVALID_ARGUMENT`, async () => {
      const call = tenant.write({ resourceName, data: Buffer.alloc(36), finishWrite: true });
      expect((await failure(call)).code).toBe('INVALID_ARGUMENT');
    });
  }

  choice('with dots for a UUID gives INVALID_ARGUMENT that names the field', async () => {
    for (const bad of ['..', '.', 'a\u0000b']) {
      const resourceName = tenant.resource(`uploads/${bad}/blobs/${hash}/36`);
      const error = await failure(tenant.write({ resourceName, data: Buffer.alloc(36), finishWrite: true }));
      expect(error.code).toBe('INVALID_ARGUMENT');
      expect(error.message).toContain('resource_name');
    }
  });

  choice('of an instance that is not served gives INVALID_ARGUMENT that names it', async () => {
    const instance = `no-such-${randomUUID()}`;
    const blob = freshBlob();
    const error = await failure(tenant.writeBlob(blob, `${instance}/uploads/${uuid}/blobs/${digestText(blob.digest)}`));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain(instance);
  });
});
