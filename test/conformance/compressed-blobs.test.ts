import { randomUUID } from 'node:crypto';
import { brotliCompressSync, brotliDecompressSync, deflateRawSync, inflateRawSync } from 'node:zlib';
import { compress as compressZstd, decompress as decompressZstd } from '@cloudpss/zstd/napi';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  BatchReadBlobsRequest,
  BatchUpdateBlobsRequest,
  type CacheCapabilities,
  CapabilitiesService,
  Compressor_Value,
  ContentAddressableStorageService,
  type Digest,
  GetCapabilitiesRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ByteStreamService, WriteRequest } from '../../src/proto/google/bytestream/bytestream.ts';
import { type Blob, blobOf, digestText, EMPTY_BLOB, freshBlob, randomBlob } from '../support/tenant.ts';
import { describeStatus, failure } from '../support/wire-client.ts';
import { connect } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;
let cache: CacheCapabilities | undefined;

beforeAll(async () => {
  const request = GetCapabilitiesRequest.create({ instanceName });
  cache = (await client.unary(CapabilitiesService.getCapabilities, request)).cacheCapabilities;
});

interface Format {
  readonly name: string;
  readonly value: Compressor_Value;
  compress(data: Buffer): Buffer;
  decompress(data: Buffer): Buffer;
}

const FORMATS: readonly Format[] = [
  {
    name: 'zstd',
    value: Compressor_Value.ZSTD,
    compress: (data) => Buffer.from(compressZstd(data)),
    decompress: (data) => Buffer.from(decompressZstd(data)),
  },
  {
    name: 'deflate',
    value: Compressor_Value.DEFLATE,
    compress: (data) => deflateRawSync(data),
    decompress: (data) => inflateRawSync(data),
  },
  {
    name: 'brotli',
    value: Compressor_Value.BROTLI,
    compress: (data) => brotliCompressSync(data),
    decompress: (data) => brotliDecompressSync(data),
  },
];

const readName = (format: string, digest: Digest) =>
  tenant.resource(`compressed-blobs/${format}/${digestText(digest)}`);
const writeName = (format: string, digest: Digest) =>
  tenant.resource(`uploads/${randomUUID()}/compressed-blobs/${format}/${digestText(digest)}`);

/** Half of it compresses well. */
function mixedBlob(size: number): Blob {
  return blobOf(Buffer.concat([randomBlob(size / 2).data, Buffer.alloc(size / 2, randomUUID())]));
}

for (const format of FORMATS) {
  describe(`compressed-blobs/${format.name}`, () => {
    const offered = () => cache?.supportedCompressors.includes(format.value) === true;

    it('is refused with INVALID_ARGUMENT where it is not advertised', async () => {
      const blob = freshBlob();
      await tenant.upload(blob);
      if (offered()) return;
      expect((await failure(tenant.read(readName(format.name, blob.digest)))).code).toBe('INVALID_ARGUMENT');
      const call = tenant.write({ resourceName: writeName(format.name, blob.digest), data: blob.data });
      expect((await failure(call)).code).toBe('INVALID_ARGUMENT');
    });

    it('what was uploaded compressed is read plain', async () => {
      if (!offered()) return;
      const blob = mixedBlob(3_000_000);
      const data = format.compress(blob.data);
      const half = Math.floor(data.length / 2);
      const { committedSize } = await tenant.write(
        { resourceName: writeName(format.name, blob.digest), data: data.subarray(0, half) },
        { writeOffset: BigInt(half), data: data.subarray(half), finishWrite: true },
      );
      expect([BigInt(data.length), -1n]).toContain(committedSize);
      expect((await tenant.read(tenant.readName(blob.digest))).equals(blob.data)).toBe(true);
    });

    it('what was uploaded plain is read compressed', async () => {
      if (!offered()) return;
      const blob = mixedBlob(3_000_000);
      await tenant.writeBlob(blob);
      const data = await tenant.read(readName(format.name, blob.digest));
      expect(format.decompress(data).equals(blob.data)).toBe(true);
    });

    it('read_offset counts plain bytes', async () => {
      if (!offered()) return;
      const blob = mixedBlob(1_000_000);
      await tenant.writeBlob(blob);
      const data = await tenant.read(readName(format.name, blob.digest), 400_000n);
      expect(format.decompress(data).equals(blob.data.subarray(400_000))).toBe(true);
    });

    it('a read_limit gives INVALID_ARGUMENT', async () => {
      if (!offered()) return;
      const blob = freshBlob();
      await tenant.upload(blob);
      const call = tenant.read(readName(format.name, blob.digest), 0n, 10n);
      expect((await failure(call)).code).toBe('INVALID_ARGUMENT');
    });

    it('a blob that is not stored gives NOT_FOUND', async () => {
      if (!offered()) return;
      expect((await failure(tenant.read(readName(format.name, freshBlob().digest)))).code).toBe('NOT_FOUND');
    });

    it('a blob that is stored already ends an upload at once with committed_size -1', async () => {
      if (!offered()) return;
      const blob = mixedBlob(100_000);
      await tenant.upload(blob);
      const stream = client.clientStream(ByteStreamService.write);
      const data = format.compress(blob.data);
      const resourceName = writeName(format.name, blob.digest);
      await stream.write(WriteRequest.create({ resourceName, data: data.subarray(0, 100) }));
      expect((await stream.result).committedSize).toBe(-1n);
      stream.cancel();
    });

    it('an upload that broke off goes on where its plain bytes ended', async () => {
      if (!offered()) return;
      const blob = randomBlob(300_000);
      const resourceName = writeName(format.name, blob.digest);
      const data = format.compress(blob.data);
      await tenant.write({ resourceName, data: data.subarray(0, data.length / 2) }).catch(() => {});
      const { committedSize } = await tenant.queryWriteStatus(resourceName).catch(() => ({ committedSize: 0n }));
      const rest = format.compress(blob.data.subarray(Number(committedSize)));
      const half = Math.floor(rest.length / 2);
      await tenant.write(
        { resourceName, writeOffset: committedSize, data: rest.subarray(0, half) },
        { writeOffset: committedSize + BigInt(half), data: rest.subarray(half), finishWrite: true },
      );
      expect((await tenant.read(tenant.readName(blob.digest))).equals(blob.data)).toBe(true);
    });

    it('uploads of one blob at the same time, compressed and plain, all succeed', async () => {
      if (!offered()) return;
      const blob = mixedBlob(500_000);
      const data = format.compress(blob.data);
      const compressed = () =>
        tenant.write({ resourceName: writeName(format.name, blob.digest), data, finishWrite: true });
      const sizes = await Promise.all([compressed(), tenant.writeBlob(blob), compressed(), tenant.writeBlob(blob)]);
      const [first, second, third, fourth] = sizes.map((each) => each.committedSize);
      for (const each of [first, third]) expect([BigInt(data.length), -1n]).toContain(each);
      expect([second, fourth]).toEqual([blob.digest.sizeBytes, blob.digest.sizeBytes]);
      expect((await tenant.read(tenant.readName(blob.digest))).equals(blob.data)).toBe(true);
    });

    it('the empty blob can be written and read', async () => {
      if (!offered()) return;
      const data = format.compress(EMPTY_BLOB.data);
      await tenant.write({ resourceName: writeName(format.name, EMPTY_BLOB.digest), data, finishWrite: true });
      const read = await tenant.read(readName(format.name, EMPTY_BLOB.digest));
      expect(read.length === 0 || format.decompress(read).length === 0).toBe(true);
    });

    const spoiled: ReadonlyArray<readonly [what: string, spoil: (blob: Blob) => Buffer]> = [
      ['plain bytes', (blob) => blob.data],
      ['cut off', (blob) => format.compress(blob.data).subarray(0, 50_000)],
      ['of other bytes of that size', (blob) => format.compress(Buffer.alloc(blob.data.length, 'x'))],
      ['of fewer bytes', (blob) => format.compress(blob.data.subarray(0, 60_000))],
      ['of more bytes', (blob) => format.compress(Buffer.concat([blob.data, Buffer.alloc(1)]))],
      ['a bomb', () => format.compress(Buffer.alloc(40_000_000))],
    ];
    for (const [what, spoil] of spoiled) {
      it(`an upload that is ${what} gives INVALID_ARGUMENT, and nothing is stored`, async () => {
        if (!offered()) return;
        const blob = mixedBlob(200_000);
        const data = spoil(blob);
        const messages = [];
        for (let at = 0; at < data.length; at += 1_000_000) {
          messages.push({
            resourceName: at === 0 ? writeName(format.name, blob.digest) : '',
            writeOffset: BigInt(at),
            data: data.subarray(at, at + 1_000_000),
            finishWrite: at + 1_000_000 >= data.length,
          });
        }
        expect((await failure(tenant.write(...messages))).code).toBe('INVALID_ARGUMENT');
        expect(await tenant.has(blob.digest)).toBe(false);
      });
    }
  });

  describe(`Compressor ${format.name} in batches`, () => {
    it('a blob that was updated compressed is read plain, and its digest is that of the plain bytes', async () => {
      if (cache?.supportedBatchUpdateCompressors.includes(format.value) !== true) return;
      const [good, bad] = [mixedBlob(100_000), freshBlob()];
      const request = BatchUpdateBlobsRequest.create({
        instanceName,
        requests: [
          { digest: good.digest, data: format.compress(good.data), compressor: format.value },
          { digest: bad.digest, data: format.compress(Buffer.from('other')), compressor: format.value },
        ],
      });
      const { responses } = await client.unary(ContentAddressableStorageService.batchUpdateBlobs, request);
      expect(responses.map((each) => describeStatus(each.status).code)).toEqual(['OK', 'INVALID_ARGUMENT']);
      expect((await tenant.read(tenant.readName(good.digest))).equals(good.data)).toBe(true);
      expect(await tenant.has(bad.digest)).toBe(false);
    });

    it('is answered by BatchReadBlobs only where accepted, and unpacks to the blob', async () => {
      const blob = blobOf(Buffer.alloc(100_000, randomUUID()));
      await tenant.upload(blob);
      const request = BatchReadBlobsRequest.create({
        instanceName,
        digests: [blob.digest],
        acceptableCompressors: [format.value],
      });
      const { responses } = await client.unary(ContentAddressableStorageService.batchReadBlobs, request);
      const [response] = responses;
      const data = response?.data ?? Buffer.alloc(0);
      expect([Compressor_Value.IDENTITY, format.value]).toContain(response?.compressor);
      const plain = response?.compressor === format.value ? format.decompress(data) : data;
      expect(plain.equals(blob.data)).toBe(true);
    });
  });
}

describe('a compressor that does not exist', () => {
  it('in a resource name gives INVALID_ARGUMENT', async () => {
    const blob = freshBlob();
    await tenant.upload(blob);
    for (const name of ['lz77', 'identity', 'ZSTD', '']) {
      expect((await failure(tenant.read(readName(name, blob.digest)))).code).toBe('INVALID_ARGUMENT');
      const absent = freshBlob();
      const resourceName = writeName(name, absent.digest);
      const call = tenant.write({ resourceName, data: absent.data, finishWrite: true });
      expect((await failure(call)).code).toBe('INVALID_ARGUMENT');
      expect(await tenant.has(absent.digest)).toBe(false);
    }
  });

  it('in a batch gives INVALID_ARGUMENT for that blob alone', async () => {
    const [good, bad] = [freshBlob(), freshBlob()];
    const request = BatchUpdateBlobsRequest.create({
      instanceName,
      requests: [
        { digest: bad.digest, data: bad.data, compressor: 99 as never },
        { digest: good.digest, data: good.data },
      ],
    });
    const { responses } = await client.unary(ContentAddressableStorageService.batchUpdateBlobs, request);
    const byHash = new Map(responses.map((each) => [each.digest?.hash, describeStatus(each.status).code]));
    expect(byHash.get(bad.digest.hash)).toBe('INVALID_ARGUMENT');
    expect(byHash.get(good.digest.hash)).toBe('OK');
    expect(await tenant.has(bad.digest)).toBe(false);
  });
});
