import { beforeEach, describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { ResumableUploads } from '../adapters/upload/resumable-uploads.ts';
import type { Compressor } from '../domain/compressor.ts';
import { type Digest, digestOf, emptyDigest } from '../domain/digest.ts';
import { formatBlobName, formatUploadName } from '../domain/resource-name.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { StatusError } from '../domain/status-error.ts';
import { type Compression, CompressionError } from '../lib/compression.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import type { WriteRequest } from '../proto/google/bytestream/bytestream.ts';
import { ByteStream, type ByteStreamOptions } from './byte-stream.ts';
import { Instances } from './instances.ts';

const context = callContext();
const { signal } = context;
const uuid = '5a9b0f4e-7d1c-4b7e-9d9c-0d7f2b6a1e11';
const data = Buffer.from('The quick brown fox jumps over the lazy dog');
const digest = digestOf(data);

let blobs: MemoryBlobStore;
let uploads: ResumableUploads;
let byteStream: ByteStream;

function serve(options: ByteStreamOptions = {}): ByteStream {
  return new ByteStream(new Instances([testInstance(blobs, { uploads })]), options);
}

beforeEach(() => {
  blobs = new MemoryBlobStore(16 * 1024 * 1024);
  uploads = new ResumableUploads(blobs, new FakeClock(), { expiryMilliseconds: 1_000, maximumPartialBytes: 1e6 });
  byteStream = serve();
});

const readName = (of: Digest = digest, compressor: Compressor = 'identity') =>
  formatBlobName({ instanceName: 'main', compressor, digest: of });
const writeName = (of: Digest = digest, compressor: Compressor = 'identity') =>
  formatUploadName({ instanceName: 'main', uuid, compressor, digest: of, metadata: undefined });

async function failureOf(promise: Promise<unknown>): Promise<StatusError> {
  return promise.then(
    () => expect.fail('no error was thrown'),
    (thrown: unknown) => thrown as StatusError,
  );
}

const stored = async (of: Digest = digest) => (await blobs.findMissing([of], signal)).length === 0;

describe('Read', () => {
  async function read(
    resourceName: string,
    parts: { readOffset?: bigint; readLimit?: bigint } = {},
    on = byteStream,
    calledWith = context,
  ): Promise<Buffer[]> {
    const chunks: Buffer[] = [];
    const request = { resourceName, readOffset: parts.readOffset ?? 0n, readLimit: parts.readLimit ?? 0n };
    for await (const response of on.read(request, calledWith)) chunks.push(response.data);
    return chunks;
  }
  const text = async (...args: Parameters<typeof read>) => Buffer.concat(await read(...args)).toString();

  beforeEach(() => blobs.write(digest, data, signal));

  test('gives the whole blob', async () => {
    expect(await text(readName())).toBe(data.toString());
  });

  test.each<[bigint, bigint, string]>([
    [4n, 0n, data.toString().slice(4)],
    [4n, 5n, 'quick'],
    [0n, 3n, 'The'],
    [40n, 100n, 'dog'],
    [43n, 0n, ''],
    [43n, 5n, ''],
    [0n, 2n ** 62n, data.toString()],
  ])('from %d with limit %d', async (readOffset, readLimit, expected) => {
    expect(await text(readName(), { readOffset, readLimit })).toBe(expected);
  });

  test('a large blob comes in chunks of 1 MiB at most', async () => {
    const large = Buffer.alloc(3 * 1024 * 1024 + 7, 'x');
    await blobs.write(digestOf(large), large, signal);
    const chunks = await read(readName(digestOf(large)));
    expect(Math.max(...chunks.map((each) => each.byteLength))).toBeLessThanOrEqual(1024 * 1024);
    expect(Buffer.concat(chunks).equals(large)).toBe(true);
  });

  test('the empty blob is there without having been uploaded', async () => {
    expect(await read(readName(emptyDigest()))).toEqual([]);
  });

  test.each<[string, string, { readOffset?: bigint; readLimit?: bigint }, StatusCode, string]>([
    ['offset behind the end', readName(), { readOffset: 44n }, StatusCode.OUT_OF_RANGE, 'read_offset'],
    ['negative offset', readName(), { readOffset: -1n }, StatusCode.OUT_OF_RANGE, 'read_offset'],
    ['negative limit', readName(), { readLimit: -1n }, StatusCode.INVALID_ARGUMENT, 'read_limit'],
    ['blob that is not there', readName(digestOf(Buffer.from('x'))), {}, StatusCode.NOT_FOUND, ''],
    ['offset at the end of a blob that is not there', readName(digestOf(Buffer.from('x'))), { readOffset: 1n }, 5, ''],
    [
      'instance that is not served',
      readName().replace('main', 'other'),
      {},
      StatusCode.INVALID_ARGUMENT,
      'resource_name',
    ],
    ['broken name', 'main/blobs/x/1', {}, StatusCode.INVALID_ARGUMENT, 'resource_name'],
    ['name to write to', writeName(), {}, StatusCode.INVALID_ARGUMENT, 'resource_name'],
    ['compressor that is not served', readName(digest, 'zstd'), {}, StatusCode.INVALID_ARGUMENT, 'zstd is not served'],
    ['log stream that is not there', 'main/logStreams/a', {}, StatusCode.NOT_FOUND, 'log stream'],
  ])('%s is refused', async (_, name, parts, code, message) => {
    const error = await failureOf(read(name, parts));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(message);
  });

  test('a header with another name is refused, one with the same taken', async () => {
    const header = (name: string) => callContext({ header: () => name });
    expect(await text(readName(), {}, byteStream, header(readName()))).toBe(data.toString());
    expect((await failureOf(read(readName(), {}, byteStream, header('x')))).code).toBe(StatusCode.INVALID_ARGUMENT);
  });

  test('a compressed blob begins at an offset of the plain one, and takes no limit', async () => {
    const compressing = serve({ compressions: new Map([['zstd', rot]]) });
    expect(await text(readName(digest, 'zstd'), { readOffset: 40n }, compressing)).toBe(
      rotate(Buffer.from('dog')).toString(),
    );
    const error = await failureOf(read(readName(digest, 'zstd'), { readLimit: 3n }, compressing));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain('read_limit');
  });
});

/** Each byte turned, and a byte of 255 at the end: fails where that is not there. */
const rotate = (bytes: Uint8Array) => Buffer.from(bytes.map((each) => (each + 1) % 255));
const END = Buffer.from([255]);
const rot: Compression = {
  compress: () => expect.fail('not used'),
  decompress: () => expect.fail('not used'),
  async *compressStream(source) {
    for await (const chunk of source) yield rotate(chunk);
  },
  async *decompressStream(source) {
    let ended = false;
    for await (const chunk of source) {
      if (ended) throw new CompressionError('more behind the end');
      ended = chunk.at(-1) === 255;
      yield Buffer.from((ended ? chunk.subarray(0, -1) : chunk).map((each) => (each + 254) % 255));
    }
    if (!ended) throw new CompressionError('the data is cut');
  },
};

/** The messages of one upload: the name in the first, parts of the given sizes. */
function* messagesOf(
  resourceName: string,
  bytes: Uint8Array,
  parts: { offset?: number; chunk?: number; finish?: boolean } = {},
): Generator<WriteRequest> {
  const { offset = 0, chunk = 10, finish = true } = parts;
  let at = 0;
  do {
    const end = Math.min(at + chunk, bytes.byteLength);
    yield {
      resourceName: at === 0 ? resourceName : '',
      writeOffset: BigInt(offset + at),
      finishWrite: finish && end === bytes.byteLength,
      data: Buffer.from(bytes.subarray(at, end)),
    };
    at = end;
  } while (at < bytes.byteLength);
}

async function* stream<T>(items: Iterable<T>, failure?: Error): AsyncGenerator<T> {
  yield* items;
  if (failure !== undefined) throw failure;
}

const write = async (messages: Iterable<WriteRequest>, on = byteStream) =>
  Number((await on.write(stream(messages), context)).committedSize);

const query = (resourceName: string, on = byteStream) => on.queryWriteStatus({ resourceName }, context);

describe('Write', () => {
  test.each([1, 10, 1000])('stores a blob that comes in pieces of %d bytes', async (chunk) => {
    expect(await write(messagesOf(writeName(), data, { chunk }))).toBe(data.byteLength);
    expect(await stored()).toBe(true);
  });

  test('the name may be repeated, and carry metadata', async () => {
    const name = `${writeName()}/some/metadata`;
    const messages = [...messagesOf(name, data)].map((each) => ({ ...each, resourceName: name }));
    expect(await write(messages)).toBe(data.byteLength);
  });

  test('finish_write may come in a message of its own, with no data', async () => {
    const last = { resourceName: '', writeOffset: BigInt(data.byteLength), finishWrite: true, data: Buffer.alloc(0) };
    expect(await write([...messagesOf(writeName(), data, { finish: false }), last])).toBe(data.byteLength);
    expect(await stored()).toBe(true);
  });

  test('the answer does not wait for the client to close its side behind finish_write', async () => {
    async function* open() {
      yield* messagesOf(writeName(), data);
      await new Promise(() => {});
    }
    expect(await byteStream.write(open(), context)).toEqual({ committedSize: BigInt(data.byteLength) });
  });

  test('the empty blob is taken', async () => {
    expect(await write(messagesOf(writeName(emptyDigest()), Buffer.alloc(0)))).toBe(0);
  });

  describe('of a blob that is stored already', () => {
    beforeEach(() => blobs.write(digest, data, signal));

    test('is answered at once with its full size, and the client heard no further', async () => {
      let released = false;
      async function* endless() {
        try {
          yield [...messagesOf(writeName(), data)][0] as WriteRequest;
          for (;;) yield { resourceName: '', writeOffset: 10n, finishWrite: false, data: Buffer.alloc(0) };
        } finally {
          released = true;
        }
      }
      expect(await byteStream.write(endless(), context)).toEqual({ committedSize: BigInt(data.byteLength) });
      await Promise.resolve();
      expect(released).toBe(true);
    });

    test('is read to its end first where a proxy wants that', async () => {
      let sent = 0;
      async function* counted() {
        for (const each of messagesOf(writeName(), data)) {
          sent += each.data.byteLength;
          yield each;
        }
      }
      await serve({ answerExistingUploadsEarly: false }).write(counted(), context);
      expect(sent).toBe(data.byteLength);
    });

    test('is answered with -1 when it is compressed', async () => {
      const compressing = serve({ compressions: new Map([['zstd', rot]]) });
      expect(await write(messagesOf(writeName(digest, 'zstd'), rotate(data)), compressing)).toBe(-1);
    });
  });

  describe('that breaks off', () => {
    test('goes on where it was, by another call', async () => {
      const lost = new Error('connection lost');
      const half = [...messagesOf(writeName(), data)].slice(0, 2);
      await expect(byteStream.write(stream(half, lost), context)).rejects.toThrow(lost);
      expect(await query(writeName())).toEqual({ committedSize: 20n, complete: false });
      expect(await write(messagesOf(writeName(), data.subarray(20), { offset: 20 }))).toBe(43);
      expect(await stored()).toBe(true);
    });

    test('without finish_write keeps what came, and stores nothing', async () => {
      expect(await write(messagesOf(writeName(), data, { finish: false }))).toBe(data.byteLength);
      expect(await stored()).toBe(false);
      expect(await query(writeName())).toEqual({ committedSize: BigInt(data.byteLength), complete: false });
      const last = { resourceName: writeName(), writeOffset: 43n, finishWrite: true, data: Buffer.alloc(0) };
      expect(await write([last])).toBe(43);
      expect(await stored()).toBe(true);
    });

    test('may begin again before the point that was reached', async () => {
      await write(messagesOf(writeName(), data.subarray(0, 30), { finish: false }));
      expect(await write(messagesOf(writeName(), data.subarray(15), { offset: 15 }))).toBe(43);
      expect(await stored()).toBe(true);
    });
  });

  const at = (writeOffset: bigint, parts: Partial<WriteRequest> = {}): WriteRequest => ({
    resourceName: '',
    writeOffset,
    finishWrite: false,
    data: Buffer.from('0123456789'),
    ...parts,
  });
  const first = at(0n, { resourceName: writeName() });

  test.each<[string, WriteRequest[], StatusCode, string]>([
    ['no message', [], 3, 'resource_name'],
    ['no name', [at(0n)], 3, 'resource_name: is not set'],
    ['another name later', [first, at(10n, { resourceName: writeName(emptyDigest()) })], 3, 'resource_name: differs'],
    ['name to read', [at(0n, { resourceName: readName() })], 3, 'resource_name'],
    ['broken name', [at(0n, { resourceName: 'x' })], 3, 'resource_name'],
    [
      'instance that is not served',
      [at(0n, { resourceName: writeName().replace('main', 'other') })],
      3,
      'resource_name',
    ],
    [
      'compressor that is not served',
      [at(0n, { resourceName: writeName(digest, 'brotli') })],
      3,
      'brotli is not served',
    ],
    ['negative offset', [at(-1n, { resourceName: writeName() })], 3, 'write_offset'],
    ['offset beyond all', [at(2n ** 62n, { resourceName: writeName() })], 3, 'write_offset'],
    [
      'offset where nothing has arrived',
      [at(5n, { resourceName: writeName() })],
      StatusCode.OUT_OF_RANGE,
      'write_offset',
    ],
    ['gap', [first, at(11n)], 3, 'write_offset: is 11, but 10 comes next'],
    ['overlap', [first, at(9n)], 3, 'write_offset: is 9, but 10 comes next'],
    ['offset left out later', [first, at(0n)], 3, 'write_offset: is 0, but 10 comes next'],
    ['too few bytes', [first, at(10n, { finishWrite: true })], 3, ''],
    ['too many bytes', [first, at(10n), at(20n), at(30n), at(40n, { finishWrite: true })], 3, ''],
    ['log stream that is not there', [at(0n, { resourceName: 'main/logStreams/a/b' })], 5, 'log stream'],
  ])('%s is refused', async (_, messages, code, message) => {
    const error = await failureOf(write(messages));
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(message);
    expect(await stored()).toBe(false);
  });

  test('other bytes than the digest names are refused, and the next try begins anew', async () => {
    const wrong = Buffer.from(data).fill('x', 5, 6);
    expect((await failureOf(write(messagesOf(writeName(), wrong)))).code).toBe(StatusCode.INVALID_ARGUMENT);
    expect((await failureOf(query(writeName()))).code).toBe(StatusCode.NOT_FOUND);
    expect(await write(messagesOf(writeName(), data))).toBe(43);
  });

  test('a blob over the size limit is refused before its bytes are looked at', async () => {
    const error = await failureOf(write(messagesOf(writeName(), data), serve({ maxBlobSizeBytes: 42 })));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain('blobs may have 42');
  });

  describe('compressed', () => {
    const compressing = () => serve({ compressions: new Map([['zstd', rot]]) });
    const packed = Buffer.concat([rotate(data), END]);
    const name = writeName(digest, 'zstd');

    test('stores the plain blob, and counts the bytes that were sent', async () => {
      expect(await write(messagesOf(name, packed), compressing())).toBe(packed.byteLength);
      expect(await stored()).toBe(true);
    });

    test('goes on at an offset of the plain blob', async () => {
      const part = messagesOf(name, packed.subarray(0, 20), { finish: false });
      expect(await write(part, compressing())).toBe(20);
      expect(await query(name, compressing())).toEqual({ committedSize: 20n, complete: false });
      expect(await write(messagesOf(name, packed.subarray(20), { offset: 20 }), compressing())).toBe(44);
      expect(await stored()).toBe(true);
    });

    test.each<[string, Buffer]>([
      ['cut', packed.subarray(0, -1)],
      ['with something behind its end', Buffer.concat([packed, data])],
      ['of other bytes', Buffer.concat([rotate(Buffer.from(data).fill('x', 5, 6)), END])],
      ['of too many bytes', Buffer.concat([rotate(data), rotate(data), END])],
      ['of too few bytes', packed.subarray(1)],
    ])('%s is INVALID_ARGUMENT', async (_, bytes) => {
      const error = await failureOf(write(messagesOf(name, bytes, { chunk: 44 }), compressing()));
      expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
      expect(await stored()).toBe(false);
    });
  });
});

describe('QueryWriteStatus', () => {
  test('tells of a blob that is stored', async () => {
    await blobs.write(digest, data, signal);
    expect(await query(writeName())).toEqual({ committedSize: 43n, complete: true });
  });

  test('knows nothing of an upload that never began', async () => {
    expect((await failureOf(query(writeName()))).code).toBe(StatusCode.NOT_FOUND);
  });

  test.each([
    readName(),
    '',
    'main/uploads/x/blobs/y/1',
    writeName(digest, 'zstd'),
    writeName().replace('main', 'other'),
  ])('the name %s is refused', async (name) => {
    const error = await failureOf(query(name));
    expect(error.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(error.message).toContain('resource_name');
  });
});
