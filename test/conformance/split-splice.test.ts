import { describe, expect, it, type TestContext } from 'vitest';
import {
  CapabilitiesService,
  ChunkingFunction_Value,
  ContentAddressableStorageService,
  type Digest,
  GetCapabilitiesRequest,
  SpliceBlobRequest,
  SplitBlobRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, blobOf, digestOf, digestText, EMPTY_BLOB, freshBlob, randomBlob } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { connect } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;
const MEBIBYTE = 1024 * 1024;

const offered = client
  .unary(CapabilitiesService.getCapabilities, GetCapabilitiesRequest.create({ instanceName }))
  .then((each) => each.cacheCapabilities);

async function requireBoth(context: TestContext): Promise<void> {
  const cache = await offered;
  if (cache?.splitBlobSupport !== true || !cache.spliceBlobSupport) context.skip();
}

async function split(blobDigest: Digest): Promise<Digest[]> {
  const request = SplitBlobRequest.create({ instanceName, blobDigest });
  return (await client.unary(ContentAddressableStorageService.splitBlob, request)).chunkDigests;
}

function splice(blobDigest: Digest, chunkDigests: readonly Digest[]) {
  const request = SpliceBlobRequest.create({ instanceName, blobDigest, chunkDigests: [...chunkDigests] });
  return client.unary(ContentAddressableStorageService.spliceBlob, request);
}

async function readAll(digests: readonly Digest[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const each of digests) parts.push(await tenant.read(tenant.readName(each)));
  return Buffer.concat(parts);
}

async function stored(...texts: readonly string[]): Promise<Blob[]> {
  const blobs = texts.map((text) => freshBlob(text));
  await tenant.upload(...blobs);
  return blobs;
}

describe('ContentAddressableStorage.SplitBlob', () => {
  it('the chunks of a large blob are stored and make it', async (context) => {
    await requireBoth(context);
    const blob = randomBlob(9 * MEBIBYTE + 5);
    await tenant.writeBlob(blob);
    const chunks = await split(blob.digest);
    expect(chunks.length).toBeGreaterThan(1);
    expect(digestOf(await readAll(chunks))).toEqual(blob.digest);
  });

  it('blobs that differ at their beginning share chunks', async (context) => {
    await requireBoth(context);
    const blob = randomBlob(9 * MEBIBYTE);
    const longer = blobOf(Buffer.concat([Buffer.from('some more bytes'), blob.data]));
    await tenant.writeBlob(blob);
    await tenant.writeBlob(longer);
    const known = new Set((await split(blob.digest)).map(digestText));
    expect((await split(longer.digest)).some((each) => known.has(digestText(each)))).toBe(true);
  });

  it('chunks of FastCDC 2020 keep its bounds', async (context) => {
    await requireBoth(context);
    const average = Number((await offered)?.fastCdc2020Params?.avgChunkSizeBytes ?? 0n);
    if (average === 0) context.skip();
    expect(average).toBeGreaterThanOrEqual(1_024);
    expect(average).toBeLessThanOrEqual(MEBIBYTE);
    const blob = randomBlob(9 * MEBIBYTE);
    await tenant.writeBlob(blob);
    const request = SplitBlobRequest.create({
      instanceName,
      blobDigest: blob.digest,
      chunkingFunction: ChunkingFunction_Value.FAST_CDC_2020,
    });
    const answer = await client.unary(ContentAddressableStorageService.splitBlob, request);
    if (answer.chunkingFunction !== ChunkingFunction_Value.FAST_CDC_2020) context.skip();
    const sizes = answer.chunkDigests.map((each) => Number(each.sizeBytes));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(average * 4);
    expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThanOrEqual(average / 4);
  });

  it('chunks of RepMaxCDC keep its bounds, and make the blob', async (context) => {
    await requireBoth(context);
    const minimum = Number((await offered)?.repMaxCdcParams?.minChunkSizeBytes ?? 0n);
    if (minimum === 0) context.skip();
    expect(minimum).toBeGreaterThanOrEqual(64);
    const blob = randomBlob(4 * MEBIBYTE + 3);
    await tenant.writeBlob(blob);
    const request = SplitBlobRequest.create({
      instanceName,
      blobDigest: blob.digest,
      chunkingFunction: ChunkingFunction_Value.REP_MAX_CDC,
    });
    const answer = await client.unary(ContentAddressableStorageService.splitBlob, request);
    if (answer.chunkingFunction !== ChunkingFunction_Value.REP_MAX_CDC) context.skip();
    const sizes = answer.chunkDigests.map((each) => Number(each.sizeBytes));
    expect(Math.max(...sizes)).toBeLessThan(2 * minimum);
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(minimum);
    expect(digestOf(await readAll(answer.chunkDigests))).toEqual(blob.digest);
  });

  it('no chunking function need be named, and one that is not known is refused or replaced', async (context) => {
    await requireBoth(context);
    const [blob] = (await stored('whole')) as [Blob];
    const by = (chunkingFunction: ChunkingFunction_Value) =>
      client.unary(
        ContentAddressableStorageService.splitBlob,
        SplitBlobRequest.create({ instanceName, blobDigest: blob.digest, chunkingFunction }),
      );
    expect(await readAll((await by(ChunkingFunction_Value.UNKNOWN)).chunkDigests)).toEqual(blob.data);
    const known: readonly number[] = Object.values(ChunkingFunction_Value);
    const outcome = await by(99 as ChunkingFunction_Value).then(
      (answer) => known.includes(answer.chunkingFunction),
      async (error: unknown) => (await failure(Promise.reject(error))).code,
    );
    expect([true, 'INVALID_ARGUMENT']).toContain(outcome);
  });

  it('a small blob and the empty blob are made by their chunks', async (context) => {
    await requireBoth(context);
    const [small] = await stored('small');
    for (const each of [small as Blob, EMPTY_BLOB]) expect(await readAll(await split(each.digest))).toEqual(each.data);
  });

  it('a blob that is not stored gives NOT_FOUND', async (context) => {
    await requireBoth(context);
    for (const each of [freshBlob(), randomBlob(5 * MEBIBYTE)]) {
      expect((await failure(split(each.digest))).code).toBe('NOT_FOUND');
    }
  });
});

describe('ContentAddressableStorage.SpliceBlob', () => {
  it('chunks make the blob', async (context) => {
    await requireBoth(context);
    const chunks = await stored('a', 'b', 'c');
    const blob = blobOf(Buffer.concat(chunks.map((each) => each.data)));
    const digests = chunks.map((each) => each.digest);
    expect((await splice(blob.digest, digests)).blobDigest).toEqual(blob.digest);
    expect(await tenant.read(tenant.readName(blob.digest))).toEqual(blob.data);
    expect((await splice(blob.digest, digests)).blobDigest).toEqual(blob.digest);
  });

  it('other chunks of a blob that is stored are taken, or ALREADY_EXISTS', async (context) => {
    await requireBoth(context);
    const [blob] = (await stored('twice cut')) as [Blob];
    for (const cut of [3, 5]) {
      const chunks = [blobOf(blob.data.subarray(0, cut)), blobOf(blob.data.subarray(cut))];
      await tenant.upload(...chunks);
      const digests = chunks.map((each) => each.digest);
      const outcome = await splice(blob.digest, digests).then(
        (answer) => answer.blobDigest?.hash,
        async (error: unknown) => (await failure(Promise.reject(error))).code,
      );
      expect([blob.digest.hash, 'ALREADY_EXISTS']).toContain(outcome);
    }
  });

  it('chunks are verified whatever chunking function is named', async (context) => {
    await requireBoth(context);
    const chunks = await stored('x', 'y');
    const whole = blobOf(Buffer.concat(chunks.map((each) => each.data)));
    const chunkDigests = chunks.map((each) => each.digest);
    for (const chunkingFunction of [ChunkingFunction_Value.UNKNOWN, ChunkingFunction_Value.FAST_CDC_2020]) {
      const request = { instanceName, chunkDigests, chunkingFunction };
      const wrong = SpliceBlobRequest.create({ ...request, blobDigest: freshBlob().digest });
      const { code } = await failure(client.unary(ContentAddressableStorageService.spliceBlob, wrong));
      expect(code).toBe('INVALID_ARGUMENT');
      const right = SpliceBlobRequest.create({ ...request, blobDigest: whole.digest });
      const answer = await client.unary(ContentAddressableStorageService.spliceBlob, right);
      expect(answer.blobDigest).toEqual(whole.digest);
    }
  });

  it('a chunk may come several times', async (context) => {
    await requireBoth(context);
    const [chunk] = (await stored('again')) as [Blob];
    const blob = blobOf(Buffer.concat([chunk.data, chunk.data]));
    await splice(blob.digest, [chunk.digest, chunk.digest]);
    expect(await tenant.read(tenant.readName(blob.digest))).toEqual(blob.data);
  });

  it('a missing chunk gives NOT_FOUND, and stores nothing', async (context) => {
    await requireBoth(context);
    const [chunk] = (await stored('there')) as [Blob];
    const absent = freshBlob();
    const blob = blobOf(Buffer.concat([chunk.data, absent.data]));
    expect((await failure(splice(blob.digest, [chunk.digest, absent.digest]))).code).toBe('NOT_FOUND');
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  it('chunks in another order, or of another size, give INVALID_ARGUMENT and store nothing', async (context) => {
    await requireBoth(context);
    const [a, b] = (await stored('a', 'b')) as [Blob, Blob];
    const blob = blobOf(Buffer.concat([a.data, b.data]));
    expect((await failure(splice(blob.digest, [b.digest, a.digest]))).code).toBe('INVALID_ARGUMENT');
    expect((await failure(splice(blob.digest, [a.digest]))).code).toBe('INVALID_ARGUMENT');
    expect(await tenant.has(blob.digest)).toBe(false);
  });
});
