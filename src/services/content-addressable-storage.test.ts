import { beforeEach, describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { type Digest, digestOf, emptyDigest } from '../domain/digest.ts';
import type { Directory } from '../domain/merkle-tree.ts';
import { StatusCode } from '../domain/status-code.ts';
import { resourceExhausted, type StatusError } from '../domain/status-error.ts';
import { type Compression, CompressionError } from '../lib/compression.ts';
import { silentLogger } from '../lib/log.ts';
import {
  type BatchUpdateBlobsRequest_Request,
  type GetTreeResponse,
  type Digest as WireDigest,
  Directory as WireDirectory,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../wire/digest.ts';
import { directoryToWire, encodeDirectory } from '../wire/directory.ts';
import { ContentAddressableStorage, type ContentAddressableStorageOptions } from './content-addressable-storage.ts';
import { Instances } from './instances.ts';

const context = callContext();
const absent = digestOf(Buffer.from('absent'));
let blobs: MapBlobStore;
let storage: ContentAddressableStorage;

function serve(options: ContentAddressableStorageOptions = {}): ContentAddressableStorage {
  return new ContentAddressableStorage(new Instances([testInstance(blobs)]), silentLogger, options);
}

beforeEach(() => {
  blobs = new MapBlobStore();
  storage = serve();
});

async function failureOf(promise: Promise<unknown>): Promise<StatusError> {
  return promise.then(
    () => expect.fail('no error was thrown'),
    (thrown: unknown) => thrown as StatusError,
  );
}

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  while (!(await iterator.next()).done);
}

describe('FindMissingBlobs', () => {
  const find = (digests: WireDigest[], digestFunction: 0 | 1 | 4 = 1, instanceName = 'main') =>
    storage.findMissingBlobs({ instanceName, blobDigests: digests, digestFunction }, context);

  test('tells what is not stored, each once and in order', async () => {
    const stored = blobs.add('stored');
    const other = digestOf(Buffer.from('other'));
    const { missingBlobDigests } = await find([absent, stored, other, absent].map(digestToWire));
    expect(missingBlobDigests).toEqual([absent, other].map(digestToWire));
  });

  test('asks the store once, however many digests there are', async () => {
    await find(Array.from({ length: 10_000 }, (_, i) => digestToWire(digestOf(Buffer.from(`${i}`)))));
    expect(blobs.lookups).toEqual([10_000]);
  });

  test('the empty blob is there without having been uploaded', async () => {
    expect(await find([digestToWire(emptyDigest())])).toEqual({ missingBlobDigests: [] });
  });

  test('another hash with the size 0 is missing', async () => {
    const impossible = { hash: absent.hash, sizeBytes: 0n };
    expect(await find([impossible])).toEqual({ missingBlobDigests: [impossible] });
  });

  test('no digests are no error', async () => {
    expect(await find([])).toEqual({ missingBlobDigests: [] });
  });

  test('the digest function may be left out', async () => {
    expect(await find([digestToWire(absent)], 0)).toEqual({ missingBlobDigests: [digestToWire(absent)] });
  });

  test.each<[string, WireDigest, string]>([
    ['short hash', { hash: 'abc', sizeBytes: 1n }, 'blob_digests[1].hash'],
    ['hash in capitals', { hash: absent.hash.toUpperCase(), sizeBytes: 1n }, 'blob_digests[1].hash'],
    ['negative size', { hash: absent.hash, sizeBytes: -1n }, 'blob_digests[1].size_bytes'],
    ['size beyond 2^53', { hash: absent.hash, sizeBytes: 2n ** 60n }, 'blob_digests[1].size_bytes'],
    ['nothing', { hash: '', sizeBytes: 0n }, 'blob_digests[1].hash'],
  ])('a malformed digest is refused by its place: %s', async (_, digest, field) => {
    const error = await failureOf(find([digestToWire(absent), digest]));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain(field);
  });

  test('a function that is not offered is refused', async () => {
    expect((await failureOf(find([digestToWire(absent)], 4))).message).toContain('digest_function');
  });

  test('an instance that is not served is refused', async () => {
    expect((await failureOf(find([], 1, 'other'))).message).toContain('instance_name');
  });
});

/** Data behind a marker byte, repeated on unpacking: small, and a bomb where one is wanted. */
const repeat: Compression = {
  compress: (data) => Promise.resolve(Buffer.from([0xc0, data.byteLength / 256, data[0] ?? 0])),
  decompress: (data, maxBytes) => {
    if (data[0] !== 0xc0) return Promise.reject(new CompressionError('damaged'));
    const size = (data[1] ?? 0) * 256;
    if (size > maxBytes) return Promise.reject(new CompressionError(`more than ${maxBytes} bytes`));
    return Promise.resolve(Buffer.alloc(size, data[2]));
  },
  compressStream: () => expect.fail('not used'),
  decompressStream: () => expect.fail('not used'),
};

describe('BatchUpdateBlobs', () => {
  const blob = (
    data: Uint8Array,
    parts: Partial<BatchUpdateBlobsRequest_Request> = {},
  ): BatchUpdateBlobsRequest_Request => ({
    digest: digestToWire(digestOf(data)),
    data: Buffer.from(data),
    compressor: 0,
    ...parts,
  });
  const update = (requests: BatchUpdateBlobsRequest_Request[], on = storage) =>
    on.batchUpdateBlobs({ instanceName: 'main', requests, digestFunction: 1 }, context);
  const codes = async (requests: BatchUpdateBlobsRequest_Request[], on = storage) =>
    (await update(requests, on)).responses.map((each) => each.status?.code);

  test('stores each blob and answers in order', async () => {
    const requests = ['a', 'b', ''].map((each) => blob(Buffer.from(each)));
    const { responses } = await update(requests);
    expect(responses.map((each) => each.digest)).toEqual(requests.map((each) => each.digest));
    expect(responses.map((each) => each.status?.code)).toEqual([0, 0, 0]);
    expect([...blobs.blobs.values()].map(String)).toEqual(['a', 'b']);
  });

  test('writes all at once, so that a store can commit them together', async () => {
    await update(Array.from({ length: 100 }, (_, i) => blob(Buffer.from(`${i}`))));
    expect(blobs.mostWritesAtOnce).toBe(100);
  });

  test('one bad blob does not keep the others from being stored', async () => {
    const good = Buffer.from('good');
    const bad = blob(Buffer.from('bad'), { data: Buffer.from('bax') });
    expect(await codes([bad, blob(good)])).toEqual([StatusCode.INVALID_ARGUMENT, 0]);
    expect([...blobs.blobs.values()].map(String)).toEqual(['good']);
  });

  test.each<[string, Partial<BatchUpdateBlobsRequest_Request>, string]>([
    ['no digest', { digest: undefined }, 'digest: is not set'],
    ['malformed hash', { digest: { hash: 'abc', sizeBytes: 3n } }, 'digest.hash'],
    ['negative size', { digest: { hash: absent.hash, sizeBytes: -3n } }, 'digest.size_bytes'],
    ['less data than named', { data: Buffer.from('da') }, 'data: has 2 bytes, not the 4'],
    ['more data than named', { data: Buffer.from('data+') }, 'data: has 5 bytes, not the 4'],
    ['empty data for a digest that is not empty', { data: Buffer.alloc(0) }, 'data: has 0 bytes'],
    ['other data', { data: Buffer.from('atad') }, 'digest'],
    ['size 0 with the hash of something', { digest: { hash: absent.hash, sizeBytes: 0n }, data: Buffer.alloc(0) }, 'd'],
    ['compressor that is not served', { compressor: 1 }, 'compressor: zstd is not served; served are identity'],
    ['unknown compressor', { compressor: 77 as 1 }, 'compressor: 77 is not served'],
  ])('%s is INVALID_ARGUMENT for that blob', async (_, parts, message) => {
    const { responses } = await update([blob(Buffer.from('good')), blob(Buffer.from('data'), parts)]);
    expect(responses[0]?.status?.code).toBe(0);
    expect(responses[1]?.status?.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(responses[1]?.status?.message).toContain(message);
    expect(blobs.blobs.size).toBe(1);
  });

  test('a blob that comes twice is written once and answered twice', async () => {
    const twice = blob(Buffer.from('twice'));
    expect(await codes([twice, { ...twice }, { ...twice, data: Buffer.from('others') }])).toEqual([0, 0, 3]);
    expect(blobs.mostWritesAtOnce).toBe(1);
  });

  test('a batch over the limit is refused whole', async () => {
    const small = serve({ maxBatchTotalBytes: 10 });
    expect(await codes([blob(Buffer.alloc(4, 1)), blob(Buffer.alloc(6, 2))], small)).toEqual([0, 0]);
    const error = await failureOf(update([blob(Buffer.alloc(5, 3)), blob(Buffer.alloc(6, 4))], small));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain('11 bytes together; a batch may have 10');
    expect(blobs.blobs.size).toBe(2);
  });

  test('a blob over the size limit is refused for itself', async () => {
    const small = serve({ maxBlobSizeBytes: 5 });
    expect(await codes([blob(Buffer.alloc(5, 1)), blob(Buffer.alloc(6, 2))], small)).toEqual([0, 3]);
  });

  test('a full store is told for each blob', async () => {
    blobs.writeFailure = resourceExhausted('full', 1_000);
    const { responses } = await update([blob(Buffer.from('a'))]);
    expect(responses[0]?.status).toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED, message: 'full' });
    expect(responses[0]?.status?.details).toHaveLength(1);
  });

  test('what goes wrong inside is not told', async () => {
    blobs.writeFailure = new Error('secret path');
    const { responses } = await update([blob(Buffer.from('a'))]);
    expect(responses[0]?.status?.code).toBe(StatusCode.INTERNAL);
    expect(responses[0]?.status?.message).not.toContain('secret');
  });

  describe('compressed', () => {
    const packed = (size: number, claimed = size) => ({
      digest: { ...digestToWire(digestOf(Buffer.alloc(size, 7))), sizeBytes: BigInt(claimed) },
      data: Buffer.from([0xc0, size / 256, 7]),
      compressor: 1 as const,
    });
    const options = { compressions: new Map([['zstd' as const, repeat]]), maxBatchTotalBytes: 4_096 };

    test('a blob is unpacked and verified', async () => {
      expect(await codes([packed(1_024)], serve(options))).toEqual([0]);
      expect(blobs.has(digestOf(Buffer.alloc(1_024, 7)))).toBe(true);
    });

    test('damaged, too much and too little are INVALID_ARGUMENT for that blob', async () => {
      const damaged = { ...packed(512), data: Buffer.from('x') };
      expect(await codes([damaged, packed(512, 256), packed(512, 1_024)], serve(options))).toEqual([3, 3, 3]);
      expect(blobs.blobs.size).toBe(0);
    });

    test('the limit counts what is unpacked', async () => {
      expect((await failureOf(update([packed(2_048), packed(2_304)], serve(options)))).message).toContain('4352 bytes');
    });
  });
});

describe('BatchReadBlobs', () => {
  const read = (digests: WireDigest[], acceptableCompressors: Array<0 | 1> = [], on = storage) =>
    on.batchReadBlobs({ instanceName: 'main', digests, acceptableCompressors, digestFunction: 1 }, context);

  test('answers each digest in order, missing ones as NOT_FOUND', async () => {
    const digests = [blobs.add('a'), absent, emptyDigest()].map(digestToWire);
    const { responses } = await read(digests);
    expect(responses.map((each) => each.digest)).toEqual(digests);
    expect(responses.map((each) => each.status?.code)).toEqual([0, StatusCode.NOT_FOUND, 0]);
    expect(responses.map((each) => each.data.toString())).toEqual(['a', '', '']);
    expect(responses.map((each) => each.compressor)).toEqual([0, 0, 0]);
  });

  test('a malformed digest in front does not hide the digest function of the others', async () => {
    const digests = [{ hash: 'abc', sizeBytes: 1n }, digestToWire(blobs.add('a'))];
    const request = { instanceName: 'main', digests, acceptableCompressors: [], digestFunction: 0 as const };
    const { responses } = await storage.batchReadBlobs(request, context);
    expect(responses.map((each) => each.status?.code)).toEqual([StatusCode.INVALID_ARGUMENT, 0]);
  });

  test('a malformed digest is INVALID_ARGUMENT for itself', async () => {
    const { responses } = await read([digestToWire(blobs.add('a')), { hash: 'abc', sizeBytes: 1n }]);
    expect(responses.map((each) => each.status?.code)).toEqual([0, StatusCode.INVALID_ARGUMENT]);
  });

  test('a digest that comes twice is read once and answered twice', async () => {
    const digest = digestToWire(blobs.add('a'));
    const { responses } = await read([digest, digest]);
    expect(responses.map((each) => each.data.toString())).toEqual(['a', 'a']);
    expect(blobs.reads).toHaveLength(1);
  });

  test('more than the limit is refused whole', async () => {
    const digests = [blobs.add('12345'), blobs.add('123456')].map(digestToWire);
    const error = await failureOf(read(digests, [], serve({ maxBatchTotalBytes: 10 })));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain('11 bytes together; a batch may have 10');
    expect(blobs.reads).toEqual([]);
  });

  test('a large blob is compressed where the client takes it and it gains', async () => {
    const digests = [blobs.add(Buffer.alloc(2_048, 7)), blobs.add('small')].map(digestToWire);
    const compressing = serve({ compressions: new Map([['zstd', repeat]]) });
    expect((await read(digests, [1], compressing)).responses.map((each) => each.compressor)).toEqual([1, 0]);
    expect((await read(digests, [0], compressing)).responses.map((each) => each.compressor)).toEqual([0, 0]);
    expect((await read(digests, [1])).responses.map((each) => each.compressor)).toEqual([0, 0]);
  });
});

describe('GetTree', () => {
  const directoryOf = (parts: Partial<Directory>): Directory => ({
    files: [],
    directories: [],
    symlinks: [],
    ...parts,
  });
  const add = (parts: Partial<Directory>) => blobs.add(encodeDirectory(directoryOf(parts)));
  const named = (...children: Digest[]) =>
    children.map((digest, i) => ({ name: `d${String(i).padStart(5, '0')}`, digest }));
  const leaf = (name: string) => add({ symlinks: [{ name, target: 'x' }] });

  async function get(
    rootDigest: WireDigest | undefined,
    parts: { pageSize?: number; pageToken?: string } = {},
    on = storage,
  ): Promise<GetTreeResponse[]> {
    const { pageSize = 0, pageToken = '' } = parts;
    const pages: GetTreeResponse[] = [];
    const request = { instanceName: 'main', rootDigest, pageSize, pageToken, digestFunction: 1 as const };
    for await (const page of on.getTree(request, context)) pages.push(page);
    return pages;
  }

  /** The links of all directories, by which the tests tell them apart. */
  const shown = (pages: GetTreeResponse[]) =>
    pages.map((page) => page.directories.map((each) => each.symlinks.map(({ name }) => name).join() || 'inner'));

  test('gives every directory once, wherever it occurs', async () => {
    const shared = leaf('shared');
    const inner = add({ directories: named(shared, leaf('a')) });
    const root = add({ directories: named(inner, shared, leaf('b')), symlinks: [{ name: 'root', target: 'x' }] });
    const pages = await get(digestToWire(root));
    expect(shown(pages)).toEqual([['root', 'inner', 'shared', 'b', 'a']]);
    expect(pages[0]?.nextPageToken).toBe('');
  });

  test('the empty directory is a tree of one', async () => {
    expect(await get(digestToWire(emptyDigest()))).toEqual([
      { directories: [directoryToWire(directoryOf({}))], nextPageToken: '' },
    ]);
  });

  test('a missing root is NOT_FOUND', async () => {
    expect((await failureOf(get(digestToWire(absent)))).code).toBe(StatusCode.NOT_FOUND);
  });

  test('what is missing below the root is left out', async () => {
    const root = add({ directories: named(absent, leaf('a')), symlinks: [{ name: 'root', target: 'x' }] });
    expect(shown(await get(digestToWire(root)))).toEqual([['root', 'a']]);
  });

  describe('in pages', () => {
    let root: WireDigest;
    beforeEach(() => {
      const leaves = Array.from({ length: 200 }, (_, i) => leaf(`leaf ${i}`));
      root = digestToWire(add({ directories: named(...leaves), symlinks: [{ name: 'root', target: 'x' }] }));
    });

    test('all follow in one call, none larger than asked', async () => {
      const pages = await get(root, { pageSize: 50 });
      expect(pages.map((page) => page.directories.length)).toEqual([50, 50, 50, 50, 1]);
      expect(pages.map((page) => page.nextPageToken === '')).toEqual([false, false, false, false, true]);
    });

    test('each token goes on with the page behind it, at any page size', async () => {
      const whole = shown(await get(root)).flat();
      expect(whole).toHaveLength(201);
      let sent = 0;
      for (const page of await get(root, { pageSize: 60 })) {
        sent += page.directories.length;
        const rest = page.nextPageToken === '' ? [] : await get(root, { pageToken: page.nextPageToken, pageSize: 7 });
        expect(shown(rest).flat()).toEqual(whole.slice(sent));
      }
    });

    test('a page keeps to the size of a message', async () => {
      const pages = await get(root, {}, serve({ maxTreePageBytes: 400 }));
      expect(shown(pages).flat()).toHaveLength(201);
      const leaves = pages.slice(1);
      const sizes = leaves.map(({ directories }) =>
        directories.reduce((total, each) => total + WireDirectory.encode(each).finish().byteLength, 0),
      );
      expect(Math.max(...sizes)).toBeLessThanOrEqual(400);
      expect(pages.length).toBeGreaterThan(5);
    });

    test('everything comes again when the tree has changed at the token, rather than too little', async () => {
      const [first] = await get(root, { pageSize: 50 });
      blobs.remove(digestOf(encodeDirectory(directoryOf({ symlinks: [{ name: 'leaf 3', target: 'x' }] }))));
      expect(shown(await get(root, { pageToken: first?.nextPageToken ?? '' })).flat()).toHaveLength(200);
    });

    test.each(['garbage', 'AAAA', Buffer.from('1 x 0 y').toString('base64url'), '%%%'])(
      'the token %s is refused',
      async (pageToken) => {
        const error = await failureOf(get(root, { pageToken }));
        expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
        expect(error.message).toContain('page_token');
      },
    );

    test('a token of another tree is refused', async () => {
      const [first] = await get(root, { pageSize: 50 });
      const other = digestToWire(leaf('other'));
      expect((await failureOf(get(other, { pageToken: first?.nextPageToken ?? '' }))).message).toContain('page_token');
    });
  });

  test.each<[string, () => WireDigest | undefined, string]>([
    ['no root', () => undefined, 'root_digest: is not set'],
    ['malformed root', () => ({ hash: 'abc', sizeBytes: 1n }), 'digest_function'],
    [
      'a root that is no directory',
      () => digestToWire(blobs.add(Buffer.from([0x0a, 0xff]))),
      'not an encoded Directory',
    ],
    [
      'a child without digest',
      () => digestToWire(blobs.add(Buffer.from([0x12, 0x03, 0x0a, 0x01, 0x61]))),
      'directories.d',
    ],
    ['an enormous directory', () => digestToWire(blobs.add(Buffer.alloc(2_000_000))), 'more than 1000000 bytes'],
    [
      'an enormous tree',
      () => digestToWire(add({ directories: named(...'abcdefghijklm'.split('').map(leaf)) })),
      'more than 10 dir',
    ],
  ])('%s is refused', async (_, make, message) => {
    const limited = serve({ maxDirectoryBytes: 1_000_000, maxTreeDirectories: 10 });
    const request = {
      instanceName: 'main',
      rootDigest: make(),
      pageSize: 0,
      pageToken: '',
      digestFunction: 0 as const,
    };
    const error = await failureOf(drain(limited.getTree(request, context)));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain(message);
  });

  test('a negative page size is refused', async () => {
    expect((await failureOf(get(digestToWire(emptyDigest()), { pageSize: -1 }))).message).toContain('page_size');
  });

  test('a deep tree is walked, not recursed into', async () => {
    let digest = leaf('deepest');
    for (let i = 0; i < 5_000; i++) digest = add({ directories: named(digest) });
    expect(shown(await get(digestToWire(digest))).flat()).toHaveLength(5_001);
  });
});
