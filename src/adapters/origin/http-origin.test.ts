import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { type AddressInfo, createServer, type LookupFunction } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type OriginServer, startOriginServer } from '../../../test/support/origin-server.ts';
import { digestOf } from '../../domain/digest.ts';
import { SHA256 } from '../../domain/digest-function.ts';
import { StatusCode } from '../../domain/status-code.ts';
import type { StatusError } from '../../domain/status-error.ts';
import { parseIntegrity } from '../../domain/subresource-integrity.ts';
import { SystemClock } from '../../lib/clock.ts';
import { SequentialIdGenerator } from '../../lib/ids.ts';
import { silentLogger } from '../../lib/log.ts';
import { OriginError, type OriginRequest } from '../../ports/origin.ts';
import { MemoryBlobStore } from '../blob/memory/memory-blob-store.ts';
import { HttpOrigin, type HttpOriginOptions } from './http-origin.ts';
import { originSchema } from './origin-configuration.ts';

const signal = new AbortController().signal;
const CONTENT = Buffer.from('the content');

let server: OriginServer;
let folder: string;
let blobs: MemoryBlobStore;
let origin: HttpOrigin;

beforeEach(async () => {
  server = await startOriginServer();
  folder = await mkdtemp(join(tmpdir(), 'warren-origin-'));
  blobs = new MemoryBlobStore(64 << 20);
  origin = createOrigin();
});
afterEach(async () => {
  await origin.close();
  await server[Symbol.asyncDispose]();
  // Fails when a download has left something in it.
  await rmdir(folder);
});

function createOrigin(changes: Partial<HttpOriginOptions> = {}): HttpOrigin {
  const {
    enabled: _,
    timeoutSeconds: __,
    maximumTimeoutSeconds: ___,
    maximumWaiting: ____,
    ...rest
  } = originSchema.parse({
    allowedNetworks: ['127.0.0.0/8'],
    directory: folder,
  });
  return new HttpOrigin({
    ...rest,
    ids: new SequentialIdGenerator(),
    clock: new SystemClock(),
    logger: silentLogger,
    ...changes,
  });
}

/** The origin of a test with other rules, in place of the usual one. */
async function useOrigin(changes: Partial<HttpOriginOptions>): Promise<void> {
  await origin.close();
  origin = createOrigin(changes);
}

/** A request with these parts. */
function requestOf(uri: string, parts: Partial<OriginRequest> = {}): OriginRequest {
  return { uri, headers: [], digestFunction: SHA256, checksums: undefined, mediaType: undefined, ...parts };
}

const download = (uri: string, parts: Partial<OriginRequest> = {}, end = signal) =>
  origin.download(requestOf(uri, parts), blobs, end);

/** What a download fails with. @throws Error when it does not, or leaves something behind. */
async function failureOf(uri: string, parts: Partial<OriginRequest> = {}): Promise<StatusError> {
  const before = blobs.storedBytes;
  try {
    await download(uri, parts);
  } catch (thrown) {
    if (blobs.storedBytes !== before) throw new Error('a failed download has left something behind', { cause: thrown });
    return thrown as StatusError;
  }
  throw new Error('the download was expected to fail');
}

const integrityOf = (data: Uint8Array, algorithm = 'sha256') =>
  parseIntegrity(`${algorithm}-${createHash(algorithm).update(data).digest('base64')}`, 'test');

describe('content', () => {
  test('is stored under its digest', async () => {
    const uri = server.serve('/file', CONTENT);
    const digest = await download(uri);
    expect(digest).toEqual(digestOf(CONTENT));
    expect(Buffer.from(await blobs.readWhole(digest, signal))).toEqual(CONTENT);
  });

  test('may be empty', async () => {
    expect(await download(server.serve('/empty', ''))).toEqual(digestOf(new Uint8Array(0)));
  });

  test('of many megabytes comes through whole', async () => {
    const data = Buffer.alloc(20 << 20, 'some content that repeats');
    expect(await download(server.serve('/large', data))).toEqual(digestOf(data));
  });

  test.each(['sha256', 'sha384', 'sha512'])('with a %s checksum is taken', async (algorithm) => {
    const checksums = integrityOf(CONTENT, algorithm);
    expect(await download(server.serve('/file', CONTENT), { checksums })).toEqual(digestOf(CONTENT));
  });

  test('needs only one of several checksums', async () => {
    const checksums = [...integrityOf(Buffer.from('another')), ...integrityOf(CONTENT)];
    expect(await download(server.serve('/file', CONTENT), { checksums })).toEqual(digestOf(CONTENT));
  });

  test('with another checksum is ABORTED', async () => {
    const checksums = integrityOf(Buffer.from('another'));
    const failure = await failureOf(server.serve('/file', CONTENT), { checksums });
    expect(failure.code).toBe(StatusCode.ABORTED);
    expect(String(failure)).toContain('checksum.sri');
    expect(failure).toBeInstanceOf(OriginError);
  });

  test('is asked for plainly, and unpacked where it comes packed all the same', async () => {
    const uri = server.serve('/file', (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(CONTENT)),
    );
    expect(await download(uri)).toEqual(digestOf(CONTENT));
    expect(server.headers()['accept-encoding']).toBe('identity');
  });

  test('that lies packed at the origin stays so, whatever its headers say', async () => {
    const packed = gzipSync(CONTENT);
    const uri = server.serve('/file.tar.gz', (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed),
    );
    expect(await download(uri)).toEqual(digestOf(packed));
  });

  test('that is packed and cut short is ABORTED', async () => {
    const packed = gzipSync(Buffer.alloc(100_000, 'x'));
    const uri = server.serve('/file', (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(packed.subarray(0, packed.length - 9)),
    );
    expect((await failureOf(uri)).code).toBe(StatusCode.ABORTED);
  });

  test('in an encoding that was not asked for is ABORTED', async () => {
    const uri = server.serve('/file', (_, response) =>
      response.writeHead(200, { 'content-encoding': 'br' }).end('whatever'),
    );
    expect((await failureOf(uri)).code).toBe(StatusCode.ABORTED);
  });

  test('that is announced as too large is RESOURCE_EXHAUSTED before it comes', async () => {
    await useOrigin({ maximumSizeBytes: CONTENT.length - 1 });
    const failure = await failureOf(server.serve('/file', CONTENT));
    expect(failure.code).toBe(StatusCode.RESOURCE_EXHAUSTED);
    expect(failure).toBeInstanceOf(OriginError);
    expect(String(failure)).toContain(`${CONTENT.length - 1} bytes`);
  });

  test('that never ends is RESOURCE_EXHAUSTED at its limit', async () => {
    await useOrigin({ maximumSizeBytes: 1 << 20 });
    const uri = server.serve('/endless', (_, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(64 * 1024)));
      };
      response.on('drain', more);
      more();
    });
    expect((await failureOf(uri)).code).toBe(StatusCode.RESOURCE_EXHAUSTED);
  });

  test('that unpacks to more than its limit is RESOURCE_EXHAUSTED', async () => {
    await useOrigin({ maximumSizeBytes: 1 << 20 });
    const bomb = gzipSync(Buffer.alloc(64 << 20));
    const uri = server.serve('/bomb', (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
    );
    expect((await failureOf(uri)).code).toBe(StatusCode.RESOURCE_EXHAUSTED);
  });

  test('that breaks off is UNAVAILABLE with RetryInfo', async () => {
    const uri = server.serve('/cut', (_, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('some', () => response.destroy());
    });
    const failure = await failureOf(uri);
    expect(failure.code).toBe(StatusCode.UNAVAILABLE);
    expect(failure).toMatchObject({ details: [{ kind: 'retry-info' }] });
    expect(failure).not.toBeInstanceOf(OriginError);
  });

  test('whose connection is closed behind it comes through whole', async () => {
    // As much as a stream buffers: no reader has it yet when the end comes.
    const data = Buffer.alloc(64 * 1024, 'x');
    const closing = createServer((socket) => {
      socket.once('data', () => {
        socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${data.length}\r\nconnection: close\r\n\r\n${String(data)}`);
      });
      socket.on('error', () => {});
    });
    closing.listen(0, '127.0.0.1');
    await once(closing, 'listening');
    const uri = `http://127.0.0.1:${(closing.address() as AddressInfo).port}/`;
    const digests = await Promise.all(Array.from({ length: 8 }, () => download(uri)));
    expect(digests).toEqual(digests.map(() => digestOf(data)));
    closing.close();
  });

  test('that falls silent is UNAVAILABLE', async () => {
    await useOrigin({ idleTimeoutSeconds: 0.2 });
    const uri = server.serve('/silent', (_, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('some');
    });
    expect((await failureOf(uri)).code).toBe(StatusCode.UNAVAILABLE);
  });

  test('of the resource type that was asked for is taken, and of another is ABORTED', async () => {
    const uri = server.serve('/file', (_, response) =>
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(CONTENT),
    );
    expect(await download(uri, { mediaType: 'text/html' })).toEqual(digestOf(CONTENT));
    expect(await download(uri, { mediaType: 'application/octet-stream' })).toEqual(digestOf(CONTENT));
    expect((await failureOf(uri, { mediaType: 'application/x-tar' })).code).toBe(StatusCode.ABORTED);
  });

  test('that nobody waits for any more is broken off', async () => {
    const uri = server.serve('/silent', (_, response) => {
      response.writeHead(200);
      response.write('some');
    });
    const end = new AbortController();
    const running = download(uri, {}, end.signal);
    await expect.poll(() => server.paths).toHaveLength(1);
    end.abort();
    await expect(running).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('an archive', () => {
  async function archiveOf(name: string): Promise<Buffer> {
    const packer = pack();
    packer.entry({ name }, CONTENT);
    packer.finalize();
    return gzipSync(await buffer(packer));
  }
  const unpack = (uri: string, parts: Partial<OriginRequest> = {}) =>
    origin.unpack({ ...requestOf(uri, parts), folder: [] }, blobs, signal);

  test('is unpacked whether its packing is called an encoding or not', async () => {
    const archive = await archiveOf('a/file');
    const plain = server.serve('/plain', archive);
    const encoded = server.serve('/encoded', (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(archive),
    );
    const root = await unpack(plain, { checksums: integrityOf(archive) });
    expect(await unpack(encoded)).toEqual(root);
    expect(await blobs.findMissing([root, digestOf(CONTENT)], signal)).toEqual([]);
    expect(await blobs.findMissing([digestOf(archive)], signal)).toHaveLength(1);
  });

  test('with another checksum is ABORTED before anything of it is unpacked', async () => {
    const uri = server.serve('/a.tar.gz', await archiveOf('file'));
    await expect(unpack(uri, { checksums: integrityOf(CONTENT) })).rejects.toMatchObject({ code: StatusCode.ABORTED });
    expect(blobs.storedBytes).toBe(0);
  });

  test('that is refused is so with its URL, but without what may be secret in that', async () => {
    const uri = server.serve('/a.tar.gz', await archiveOf('../file'));
    const failed = await unpack(`${uri}?signature=secret`).catch((thrown: unknown) => thrown);
    expect(failed).toBeInstanceOf(OriginError);
    expect(String(failed)).toMatch(/^ABORTED: http:.*\/a\.tar\.gz: the archive: .*leads out of a folder$/);
  });
});

describe('an answer', () => {
  test.each([
    [404, StatusCode.NOT_FOUND, true],
    [410, StatusCode.NOT_FOUND, true],
    [400, StatusCode.PERMISSION_DENIED, true],
    [401, StatusCode.PERMISSION_DENIED, true],
    [403, StatusCode.PERMISSION_DENIED, true],
    [204, StatusCode.ABORTED, true],
    [304, StatusCode.ABORTED, true],
    [302, StatusCode.ABORTED, true],
    [408, StatusCode.UNAVAILABLE, false],
    [500, StatusCode.UNAVAILABLE, false],
    [503, StatusCode.UNAVAILABLE, false],
    [429, StatusCode.RESOURCE_EXHAUSTED, false],
  ])('of status %i is %i', async (status, code, isOrigins) => {
    const uri = server.serve('/file', (_, response) => response.writeHead(status).end());
    const failure = await failureOf(uri);
    expect(failure.code).toBe(code);
    expect(failure instanceof OriginError).toBe(isOrigins);
  });

  test('that says when to come again is passed on', async () => {
    const uri = server.serve('/file', (_, response) => response.writeHead(503, { 'retry-after': '7' }).end());
    const details = [{ kind: 'retry-info', retryDelayMilliseconds: 7_000 }];
    expect(await failureOf(uri)).toMatchObject({ code: StatusCode.UNAVAILABLE, details });
  });

  test('is waited for no longer than configured', async () => {
    await useOrigin({ idleTimeoutSeconds: 0.2 });
    const failure = await failureOf(server.serve('/file', () => {}));
    expect(failure.code).toBe(StatusCode.UNAVAILABLE);
  });

  test('that is no HTTP is ABORTED', async () => {
    const uri = server.serve('/file', (_, response) => response.socket?.end('hello\r\n\r\n'));
    expect((await failureOf(uri)).code).toBe(StatusCode.ABORTED);
  });

  test('nobody gives is UNAVAILABLE', async () => {
    expect((await failureOf('http://127.0.0.1:1/')).code).toBe(StatusCode.UNAVAILABLE);
  });
});

describe('headers', () => {
  test('of the request are sent', async () => {
    await download(server.serve('/file', CONTENT), { headers: [['authorization', 'Bearer secret']] });
    expect(server.headers()).toMatchObject({ authorization: 'Bearer secret' });
  });

  test('are not sent on to another origin', async () => {
    await using other = await startOriginServer();
    const there = other.serve('/there', CONTENT);
    const uri = server.serve('/here', (_, response) => response.writeHead(302, { location: there }).end());
    await download(uri, {
      headers: [
        ['authorization', 'Bearer secret'],
        ['x-token', 'secret'],
      ],
    });
    expect(server.headers()).toMatchObject({ authorization: 'Bearer secret', 'x-token': 'secret' });
    expect(Object.keys(other.headers())).not.toContain('authorization');
    expect(Object.keys(other.headers())).not.toContain('x-token');
  });
});

describe('redirects', () => {
  test('are followed, also relative ones', async () => {
    server.serve('/b/file', CONTENT);
    const uri = server.serve('/a', (_, response) => response.writeHead(307, { location: 'b/file' }).end());
    expect(await download(uri)).toEqual(digestOf(CONTENT));
  });

  test('come to an end', async () => {
    const uri = server.serve('/a', (_, response) => response.writeHead(302, { location: '/a' }).end());
    const failure = await failureOf(`${uri}?signature=secret`);
    expect(failure.code).toBe(StatusCode.ABORTED);
    expect(failure.message).not.toContain('secret');
    expect(server.paths).toHaveLength(11);
  });

  test.each(['http://10.0.0.1/', 'http://[::1]:80/', 'http://169.254.169.254/latest/meta-data', 'http://0x0a000001/'])(
    'to an address that is not public are PERMISSION_DENIED: %s',
    async (location) => {
      const uri = server.serve('/a', (_, response) => response.writeHead(302, { location }).end());
      const failure = await failureOf(uri);
      expect(failure).toBeInstanceOf(OriginError);
      expect(failure.code).toBe(StatusCode.PERMISSION_DENIED);
    },
  );

  test('to another scheme or host than allowed are PERMISSION_DENIED', async () => {
    await useOrigin({ allowedHosts: ['127.0.0.1'] });
    for (const location of ['ftp://127.0.0.1/', 'file:///etc/passwd', 'http://example.com/']) {
      const uri = server.serve('/a', (_, response) => response.writeHead(302, { location }).end());
      expect((await failureOf(uri)).code).toBe(StatusCode.PERMISSION_DENIED);
    }
  });
});

describe('addresses', () => {
  /** A name that has these addresses, one list after the other. */
  function resolver(...answers: ReadonlyArray<readonly string[]>): LookupFunction {
    let asked = 0;
    return (_hostname, _options, callback) => {
      const addresses = answers[Math.min(asked, answers.length - 1)] ?? [];
      asked += 1;
      callback(
        null,
        addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
      );
    };
  }

  test.each([
    ['127.0.0.1'],
    ['10.1.2.3'],
    ['192.168.0.1'],
    ['169.254.169.254'],
    ['100.64.0.1'],
    ['224.0.0.1'],
    ['0.0.0.0'],
    ['::1'],
    ['fe80::1'],
    ['fd00::1'],
    ['ff02::1'],
    ['::ffff:127.0.0.1'],
    ['64:ff9b::7f00:1'],
  ])('a name that leads to %s is PERMISSION_DENIED', async (address) => {
    await useOrigin({ allowedNetworks: [], lookup: resolver([address]) });
    expect((await failureOf('http://innocent.example/')).code).toBe(StatusCode.PERMISSION_DENIED);
  });

  test('of several the permitted ones are used', async () => {
    await useOrigin({ allowedNetworks: ['127.0.0.1/32'], lookup: resolver(['10.0.0.1', '127.0.0.1', '::1']) });
    server.serve('/file', CONTENT);
    expect(await download(`http://innocent.example:${server.port}/file`)).toEqual(digestOf(CONTENT));
  });

  test('a name that changes its address between two connections does not get round the rules', async () => {
    await useOrigin({ lookup: resolver(['127.0.0.1'], ['10.0.0.1']) });
    server.serve('/file', (_, response) => response.writeHead(200, { connection: 'close' }).end(CONTENT));
    const uri = `http://innocent.example:${server.port}/file`;
    await download(uri);
    expect((await failureOf(uri)).code).toBe(StatusCode.PERMISSION_DENIED);
  });

  test('a name that nobody has is NOT_FOUND', async () => {
    const lookup: LookupFunction = (_hostname, _options, callback) =>
      callback(Object.assign(new Error('no such host'), { code: 'ENOTFOUND' }), []);
    await useOrigin({ lookup });
    expect((await failureOf('http://nowhere.example/')).code).toBe(StatusCode.NOT_FOUND);
  });
});

test('no more run at once than configured, and the rest wait', async () => {
  await useOrigin({ maximumConcurrent: 2 });
  const waiting: Array<() => void> = [];
  const uri = server.serve('/file', (_, response) => waiting.push(() => response.end(CONTENT)));
  const running = [download(uri), download(uri), download(uri)];
  await expect.poll(() => waiting).toHaveLength(2);
  waiting[0]?.();
  await expect.poll(() => waiting).toHaveLength(3);
  for (const answer of waiting) answer();
  await Promise.all(running);
});

test('a disk that fails is not blamed on the origin', async () => {
  await useOrigin({ directory: '/dev/null/nowhere' });
  await expect(download(server.serve('/file', CONTENT))).rejects.not.toBeInstanceOf(OriginError);
});

test('only URLs of the configured schemes are served', () => {
  const secure = createOrigin({ schemes: ['https'] });
  expect(['https://a.example/', 'http://a.example/', 'urn:a', 'no URL'].map((uri) => secure.serves(uri))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});
