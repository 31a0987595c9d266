import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { ByteStreamService, ReadRequest } from '../../src/proto/google/bytestream/bytestream.ts';
import { digestText, EMPTY_BLOB, freshBlob, randomBlob } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect } from './target.ts';

const tenant = connect();
const { client } = tenant;
const blob = randomBlob(3 * 1024 * 1024 + 17);
const name = tenant.readName(blob.digest);

beforeAll(async () => {
  await tenant.writeBlob(blob);
});

describe('ByteStream.Read', () => {
  it('gives the whole blob in order', async () => {
    expect((await tenant.read(name)).equals(blob.data)).toBe(true);
  });

  it('sends a large blob in several messages, each below the limit of a message', async () => {
    const responses = await client.collect(ByteStreamService.read, ReadRequest.create({ resourceName: name }));
    expect(responses.length).toBeGreaterThan(1);
    for (const each of responses) expect(each.data.length).toBeLessThan(4 * 1024 * 1024);
  });

  it('read_offset leaves out what comes before', async () => {
    const offset = 1_048_577;
    expect((await tenant.read(name, BigInt(offset))).equals(blob.data.subarray(offset))).toBe(true);
  });

  it('read_limit bounds what is sent', async () => {
    expect((await tenant.read(name, 0n, 1_000n)).equals(blob.data.subarray(0, 1_000))).toBe(true);
  });

  it('read_offset and read_limit together give the middle', async () => {
    const middle = await tenant.read(name, 1_000_000n, 1_500_000n);
    expect(middle.equals(blob.data.subarray(1_000_000, 2_500_000))).toBe(true);
  });

  it('a read_limit beyond the end gives what there is', async () => {
    const offset = blob.data.length - 10;
    expect((await tenant.read(name, BigInt(offset), 1_000n)).equals(blob.data.subarray(offset))).toBe(true);
  });

  it('a read_offset at the end gives nothing', async () => {
    expect(await tenant.read(name, blob.digest.sizeBytes)).toHaveLength(0);
  });

  it('a read_offset beyond the end gives OUT_OF_RANGE', async () => {
    expect((await failure(tenant.read(name, blob.digest.sizeBytes + 1n))).code).toBe('OUT_OF_RANGE');
  });

  it('a negative read_offset gives OUT_OF_RANGE', async () => {
    expect((await failure(tenant.read(name, -1n))).code).toBe('OUT_OF_RANGE');
  });

  it('a negative read_limit gives INVALID_ARGUMENT', async () => {
    expect((await failure(tenant.read(name, 0n, -1n))).code).toBe('INVALID_ARGUMENT');
  });

  it('a blob that is not stored gives NOT_FOUND', async () => {
    expect((await failure(tenant.read(tenant.readName(freshBlob().digest)))).code).toBe('NOT_FOUND');
  });

  it('the hash of a stored blob with another size is not taken for it', async () => {
    const other = tenant.readName({ hash: blob.digest.hash, sizeBytes: blob.digest.sizeBytes - 1n });
    expect(['NOT_FOUND', 'INVALID_ARGUMENT']).toContain((await failure(tenant.read(other))).code);
  });

  it('the empty blob is always there', async () => {
    expect(await tenant.read(tenant.readName(EMPTY_BLOB.digest))).toHaveLength(0);
  });

  it('the header that repeats the resource name is accepted', async () => {
    const responses = await client.collect(ByteStreamService.read, ReadRequest.create({ resourceName: name }), {
      headers: { 'build.bazel.remote.execution.v2.resource-name': name },
    });
    expect(Buffer.concat(responses.map((each) => each.data)).equals(blob.data)).toBe(true);
  });

  choice('a header with another resource name gives INVALID_ARGUMENT', async () => {
    const headers = { 'build.bazel.remote.execution.v2.resource-name': tenant.readName(freshBlob().digest) };
    const call = client.collect(ByteStreamService.read, ReadRequest.create({ resourceName: name }), { headers });
    expect((await failure(call)).code).toBe('INVALID_ARGUMENT');
  });

  it('a reader that goes away in mid-stream harms no other', async () => {
    const stream = client.serverStream(ByteStreamService.read, ReadRequest.create({ resourceName: name }));
    await stream[Symbol.asyncIterator]().next();
    stream.cancel();
    expect((await tenant.read(name)).equals(blob.data)).toBe(true);
  });

  it('sixteen readers at once each get the whole blob', async () => {
    const all = await Promise.all(Array.from({ length: 16 }, () => tenant.read(name)));
    expect(all.every((each) => each.equals(blob.data))).toBe(true);
  });
});

describe('ReadRequest.resource_name', () => {
  const { hash, sizeBytes } = blob.digest;
  const broken: ReadonlyArray<readonly [what: string, name: string]> = [
    ['empty', ''],
    ['without blobs', `${hash}/${sizeBytes}`],
    ['without a size', tenant.resource(`blobs/${hash}`)],
    ['with a size that is no number', tenant.resource(`blobs/${hash}/many`)],
    ['with a negative size', tenant.resource(`blobs/${hash}/-1`)],
    ['with a size beyond int64', tenant.resource(`blobs/${hash}/99999999999999999999`)],
    ['with a size in hexadecimal', tenant.resource(`blobs/${hash}/0x10`)],
    ['with a fractional size', tenant.resource(`blobs/${hash}/1.5`)],
    ['with a short hash', tenant.resource(`blobs/${hash.slice(1)}/${sizeBytes}`)],
    ['with a hash in upper case', tenant.resource(`blobs/${'AB'.repeat(32)}/${sizeBytes}`)],
    ['with a hash that is not hexadecimal', tenant.resource(`blobs/${'xy'.repeat(32)}/${sizeBytes}`)],
    ['with a path that climbs', tenant.resource(`blobs/../../etc/passwd/1`)],
    ['with an unknown digest function', tenant.resource(`blobs/rot13/${hash}/${sizeBytes}`)],
    ['of an upload', tenant.writeName(blob.digest)],
    ['with a NUL', tenant.resource(`blobs/${hash.slice(1)}\u0000/${sizeBytes}`)],
  ];
  for (const [what, resourceName] of broken) {
    it(`${what} gives INVALID_ARGUMENT`, async () => {
      expect((await failure(tenant.read(resourceName))).code).toBe('INVALID_ARGUMENT');
    });
  }

  choice('a broken one is named in the message', async () => {
    expect((await failure(tenant.read(tenant.resource(`blobs/${hash}`)))).message).toContain('resource_name');
  });

  choice('of an instance that is not served gives INVALID_ARGUMENT that names it', async () => {
    const instance = `no-such-${randomUUID()}`;
    const error = await failure(tenant.read(`${instance}/blobs/${digestText(blob.digest)}`));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain(instance);
  });
});
