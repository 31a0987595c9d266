import { describe, expect, it } from 'vitest';
import {
  BatchUpdateBlobsRequest,
  type BatchUpdateBlobsResponse_Response,
  CapabilitiesService,
  Compressor_Value,
  ContentAddressableStorageService,
  DigestFunction_Value,
  FindMissingBlobsRequest,
  GetCapabilitiesRequest,
  SpliceBlobRequest,
  SplitBlobRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { blobOf, digestText, EMPTY_BLOB, freshBlob, randomBlob } from '../support/tenant.ts';
import { describeStatus, failure } from '../support/wire-client.ts';
import { choice, connect } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;

async function batchLimit(): Promise<number> {
  const request = GetCapabilitiesRequest.create({ instanceName });
  const answer = await client.unary(CapabilitiesService.getCapabilities, request);
  return Number(answer.cacheCapabilities?.maxBatchTotalSizeBytes ?? 0n);
}

async function batchUpdate(
  requests: NonNullable<Parameters<typeof BatchUpdateBlobsRequest.create>[0]>['requests'],
  digestFunction: DigestFunction_Value = DigestFunction_Value.UNKNOWN,
): Promise<BatchUpdateBlobsResponse_Response[]> {
  const request = BatchUpdateBlobsRequest.create({ instanceName, requests, digestFunction } as never);
  return (await client.unary(ContentAddressableStorageService.batchUpdateBlobs, request)).responses;
}

describe('ContentAddressableStorage.FindMissingBlobs', () => {
  it('a blob that was never stored is missing', async () => {
    const { digest } = freshBlob();
    expect(await tenant.findMissing(digest)).toEqual([digest]);
  });

  it('a blob that is stored is not missing', async () => {
    const blob = freshBlob();
    await tenant.upload(blob);
    expect(await tenant.findMissing(blob.digest)).toEqual([]);
  });

  it('of many, exactly those that are not stored are missing', async () => {
    const stored = Array.from({ length: 50 }, () => freshBlob());
    const absent = Array.from({ length: 50 }, () => freshBlob());
    await tenant.upload(...stored);
    const mixed = stored.flatMap((each, i) => [each.digest, absent[i]?.digest ?? each.digest]);
    const missing = await tenant.findMissing(...mixed);
    expect(missing.map(digestText).sort()).toEqual(absent.map((each) => digestText(each.digest)).sort());
  });

  it('no digest at all gives no digest', async () => {
    expect(await tenant.findMissing()).toEqual([]);
  });

  it('the empty blob is never missing', async () => {
    expect(await tenant.findMissing(EMPTY_BLOB.digest)).toEqual([]);
  });

  it('a digest with the hash of a stored blob and another size is not taken for it', async () => {
    const blob = freshBlob();
    await tenant.upload(blob);
    const other = { hash: blob.digest.hash, sizeBytes: blob.digest.sizeBytes + 1n };
    expect(await tenant.findMissing(other)).toEqual([other]);
  });

  it('the digest function may be stated', async () => {
    const { digest } = freshBlob();
    const answer = await client.unary(
      ContentAddressableStorageService.findMissingBlobs,
      FindMissingBlobsRequest.create({
        instanceName,
        blobDigests: [digest],
        digestFunction: DigestFunction_Value.SHA256,
      }),
    );
    expect(answer.missingBlobDigests).toEqual([digest]);
  });

  choice('a digest asked for twice is missing once', async () => {
    const { digest } = freshBlob();
    expect(await tenant.findMissing(digest, digest)).toEqual([digest]);
  });

  choice('ten thousand digests are answered in one call', async () => {
    const digests = Array.from({ length: 10_000 }, () => freshBlob().digest);
    expect(await tenant.findMissing(...digests)).toHaveLength(10_000);
  });
});

describe('ContentAddressableStorage.BatchUpdateBlobs', () => {
  it('every blob is stored, and answered with its digest and OK', async () => {
    const blobs = Array.from({ length: 20 }, () => freshBlob());
    const responses = await batchUpdate(blobs.map(({ digest, data }) => ({ digest, data })));
    expect(responses.map((each) => each.digest)).toEqual(blobs.map((each) => each.digest));
    expect(responses.every((each) => (each.status?.code ?? 0) === 0)).toBe(true);
    expect(await tenant.findMissing(...blobs.map((each) => each.digest))).toEqual([]);
  });

  it('a digest whose hash does not fit gives INVALID_ARGUMENT for that blob alone', async () => {
    const good = freshBlob();
    const bad = freshBlob();
    const responses = await batchUpdate([
      { digest: bad.digest, data: Buffer.alloc(bad.data.length) },
      { digest: good.digest, data: good.data },
    ]);
    const byHash = new Map(responses.map((each) => [each.digest?.hash, describeStatus(each.status).code]));
    expect(byHash.get(bad.digest.hash)).toBe('INVALID_ARGUMENT');
    expect(byHash.get(good.digest.hash)).toBe('OK');
    expect(await tenant.findMissing(good.digest, bad.digest)).toEqual([bad.digest]);
  });

  it('a digest whose size does not fit gives INVALID_ARGUMENT for that blob alone', async () => {
    const good = freshBlob();
    const bad = freshBlob();
    const wrong = { hash: bad.digest.hash, sizeBytes: bad.digest.sizeBytes + 1n };
    const responses = await batchUpdate([
      { digest: wrong, data: bad.data },
      { digest: good.digest, data: good.data },
    ]);
    expect(responses.map((each) => describeStatus(each.status).code).sort()).toEqual(['INVALID_ARGUMENT', 'OK']);
    expect(await tenant.has(bad.digest)).toBe(false);
    expect(await tenant.has(wrong)).toBe(false);
  });

  it('a blob that is stored already is taken again', async () => {
    const blob = freshBlob();
    await tenant.upload(blob);
    await tenant.upload(blob);
    expect(await tenant.read(tenant.readName(blob.digest))).toEqual(blob.data);
  });

  it('the empty blob is taken', async () => {
    const [response] = await batchUpdate([{ digest: EMPTY_BLOB.digest, data: EMPTY_BLOB.data }]);
    expect(describeStatus(response?.status).code).toBe('OK');
  });

  it('a batch of the advertised size is taken', async () => {
    const limit = await batchLimit();
    if (limit === 0) return;
    const half = Math.floor(limit / 2);
    const blobs = [randomBlob(half), randomBlob(limit - half)];
    await tenant.upload(...blobs);
    expect(await tenant.findMissing(...blobs.map((each) => each.digest))).toEqual([]);
  });

  it('a batch above the advertised size gives INVALID_ARGUMENT and stores nothing', async () => {
    const limit = await batchLimit();
    if (limit === 0) return;
    const half = Math.floor(limit / 2);
    const blobs = [randomBlob(half), randomBlob(limit - half + 1)];
    expect((await failure(tenant.upload(...blobs))).code).toBe('INVALID_ARGUMENT');
    expect(await tenant.findMissing(...blobs.map((each) => each.digest))).toHaveLength(2);
  });

  it('no blob at all gives no answer at all', async () => {
    expect(await batchUpdate([])).toEqual([]);
  });

  it('the digest function may be stated', async () => {
    const { digest, data } = freshBlob();
    const [response] = await batchUpdate([{ digest, data }], DigestFunction_Value.SHA256);
    expect(describeStatus(response?.status).code).toBe('OK');
  });
});

describe('ContentAddressableStorage.BatchReadBlobs', () => {
  it('every blob is answered with its digest and bytes', async () => {
    const blobs = [freshBlob(), randomBlob(100_000), blobOf(Buffer.from([0, 255, 0]))];
    await tenant.upload(...blobs);
    const responses = await tenant.batchRead(...blobs.map((each) => each.digest));
    const byHash = new Map(responses.map((each) => [each.digest?.hash, each]));
    for (const { digest, data } of blobs) {
      expect(describeStatus(byHash.get(digest.hash)?.status).code).toBe('OK');
      expect(byHash.get(digest.hash)?.data.equals(data)).toBe(true);
      expect(byHash.get(digest.hash)?.compressor).toBe(Compressor_Value.IDENTITY);
    }
  });

  it('a blob that is not stored gives NOT_FOUND for that blob alone', async () => {
    const stored = freshBlob();
    const absent = freshBlob();
    await tenant.upload(stored);
    const responses = await tenant.batchRead(absent.digest, stored.digest);
    const byHash = new Map(responses.map((each) => [each.digest?.hash, describeStatus(each.status).code]));
    expect(byHash.get(absent.digest.hash)).toBe('NOT_FOUND');
    expect(byHash.get(stored.digest.hash)).toBe('OK');
  });

  it('a digest that comes twice is answered, once or twice', async () => {
    const blob = freshBlob();
    await tenant.upload(blob);
    const responses = await tenant.batchRead(blob.digest, blob.digest);
    expect([1, 2]).toContain(responses.length);
    for (const each of responses) expect(each.data.equals(blob.data)).toBe(true);
  });

  it('a digest with the hash of a stored blob and another size is not answered with it', async () => {
    const blob = freshBlob();
    await tenant.upload(blob);
    const [response] = await tenant.batchRead({ hash: blob.digest.hash, sizeBytes: blob.digest.sizeBytes - 1n });
    expect(['NOT_FOUND', 'INVALID_ARGUMENT']).toContain(describeStatus(response?.status).code);
    expect(response?.data).toHaveLength(0);
  });

  it('the empty blob is always there', async () => {
    const [response] = await tenant.batchRead(EMPTY_BLOB.digest);
    expect(describeStatus(response?.status).code).toBe('OK');
    expect(response?.data).toHaveLength(0);
  });

  it('a batch above the advertised size gives INVALID_ARGUMENT', async () => {
    const limit = await batchLimit();
    if (limit === 0) return;
    const half = Math.floor(limit / 2);
    const blobs = [randomBlob(half), randomBlob(limit - half + 1)];
    for (const each of blobs) await tenant.writeBlob(each);
    expect((await failure(tenant.batchRead(...blobs.map((each) => each.digest)))).code).toBe('INVALID_ARGUMENT');
  });

  it('a batch of the advertised size is answered', async () => {
    const limit = await batchLimit();
    if (limit === 0) return;
    const half = Math.floor(limit / 2);
    const blobs = [randomBlob(half), randomBlob(limit - half)];
    for (const each of blobs) await tenant.writeBlob(each);
    const responses = await tenant.batchRead(...blobs.map((each) => each.digest));
    expect(responses.map((each) => each.data.length)).toEqual(blobs.map((each) => each.data.length));
  });
});

describe('ContentAddressableStorage.SplitBlob and SpliceBlob', () => {
  it('are UNIMPLEMENTED where Capabilities does not offer them', async () => {
    const request = GetCapabilitiesRequest.create({ instanceName });
    const cache = (await client.unary(CapabilitiesService.getCapabilities, request)).cacheCapabilities;
    const blobDigest = freshBlob().digest;
    if (cache?.splitBlobSupport !== true) {
      const call = client.unary(
        ContentAddressableStorageService.splitBlob,
        SplitBlobRequest.create({ instanceName, blobDigest }),
      );
      expect((await failure(call)).code).toBe('UNIMPLEMENTED');
    }
    if (cache?.spliceBlobSupport !== true) {
      const call = client.unary(
        ContentAddressableStorageService.spliceBlob,
        SpliceBlobRequest.create({ instanceName, blobDigest }),
      );
      expect((await failure(call)).code).toBe('UNIMPLEMENTED');
    }
  });
});
