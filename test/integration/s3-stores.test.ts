import { readFile } from 'node:fs/promises';
import { type AddressInfo, connect } from 'node:net';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { S3ActionCacheStore } from '../../src/adapters/action-cache/s3/s3-action-cache-store.ts';
import { S3BlobStore, type S3BlobStoreOptions } from '../../src/adapters/blob/s3/s3-blob-store.ts';
import { s3BlobStoreSchema } from '../../src/adapters/blob/s3/s3-configuration.ts';
import { UnfinishedUploads } from '../../src/adapters/blob/s3/unfinished-uploads.ts';
import { VerifyingBlobStore } from '../../src/adapters/blob/verifying-blob-store.ts';
import { bucketsOf } from '../../src/adapters/s3/bucket-template.ts';
import { ConditionalWrites } from '../../src/adapters/s3/conditional-writes.ts';
import { S3Objects } from '../../src/adapters/s3/s3-objects.ts';
import { type Digest, digestOf } from '../../src/domain/digest.ts';
import { DIGEST_FUNCTIONS } from '../../src/domain/digest-function.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { RandomIdGenerator } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { describeActionCacheStore } from '../../src/ports/action-cache-store.suite.ts';
import { describeBlobStore, inChunks, someBytes } from '../../src/ports/blob-store.suite.ts';
import { SelfSignedCertificate } from '../support/certificates.ts';
import { S3Server } from '../support/s3-server.ts';

/** Stores on a real S3 server. It is one Python process: where cores are few, a case of hundreds of requests takes time. */
vi.setConfig({ testTimeout: 240_000 });

const signal = new AbortController().signal;
const PART_BYTES = 5 * 1024 * 1024;

let server: S3Server;
let objects: S3Objects;
beforeAll(async () => {
  server = await S3Server.start();
  objects = await open({});
});
afterAll(async () => {
  objects.close();
  await server[Symbol.asyncDispose]();
});

function open(changes: object): Promise<S3Objects> {
  const configuration = { kind: 's3', ...server.configuration('any'), connections: 16, ...changes };
  return S3Objects.open(s3BlobStoreSchema.parse(configuration));
}

async function createStore(changes: Partial<S3BlobStoreOptions> = {}) {
  const bucket = changes.bucket ?? (await server.createBucket());
  const options = { bucket, keyPrefix: 'some/prefix/', partBytes: PART_BYTES, concurrentParts: 2, ...changes };
  return { bucket, store: new S3BlobStore(objects, options, silentLogger) };
}

describeBlobStore('S3BlobStore', async () => {
  const { store } = await createStore();
  return { store: new VerifyingBlobStore(store, silentLogger), dispose: async () => {} };
});

function createResults(bucket: string) {
  const conditionalWrites = new ConditionalWrites(objects, 'results-of/', {
    ids: new RandomIdGenerator(),
    logger: silentLogger,
  });
  return {
    conditionalWrites,
    store: new S3ActionCacheStore(objects, conditionalWrites, { bucket, keyPrefix: 'results-of/' }),
  };
}

describeActionCacheStore('S3ActionCacheStore', async () => {
  const { store } = createResults(await server.createBucket());
  return { store, dispose: async () => {} };
});

describe('S3ActionCacheStore', () => {
  test('keeps the first result across replicas where the server keeps to conditional writes', async () => {
    const bucket = await server.createBucket('strict-results');
    const replicas = Array.from({ length: 4 }, () => createResults(bucket));
    for (const { conditionalWrites } of replicas) expect(await conditionalWrites.areKept(bucket, signal)).toBe(true);
    const action = digestOf(Buffer.from('action'));
    const put = ({ store }: { store: S3ActionCacheStore }, i: number) =>
      store.putFirst('', action, Buffer.from(`result ${i}`), signal);
    const answers = await Promise.all(replicas.map(put));
    expect(answers.filter((answer) => answer === undefined)).toHaveLength(1);
    const first = await replicas[0]?.store.get('', action, signal);
    for (const answer of answers) expect([undefined, first]).toContainEqual(answer);
    expect(await server.keys(bucket)).toHaveLength(1);
  });

  test.each([
    ['refuses them', 'refusing-results'],
    ['keeps to them only while nobody else writes', 'lenient-results'],
  ])('finds out that a server %s, and leaves nothing of that behind', async (_, name) => {
    const bucket = await server.createBucket(name);
    expect(await createResults(bucket).conditionalWrites.areKept(bucket, signal)).toBe(false);
    expect(await server.keys(bucket)).toEqual([]);
  });
});

const large = someBytes(2 * PART_BYTES + 7, 3);
const largeDigest = digestOf(large);
const isStored = async (store: S3BlobStore, digest: Digest) => (await store.findMissing([digest], signal)).length === 0;

async function* thenFail(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* inChunks(data, 1_000_000);
  throw new Error('the client went away');
}

describe('S3BlobStore', () => {
  test('keeps equal bytes of different digest functions apart', async () => {
    const { bucket, store } = await createStore();
    const data = someBytes(1000);
    const digests = DIGEST_FUNCTIONS.map((each) => digestOf(data, each));
    await Promise.all(digests.map((digest) => store.write(digest, data, signal)));
    expect(await server.keys(bucket)).toHaveLength(DIGEST_FUNCTIONS.length);
    const [first, ...others] = digests as [Digest, ...Digest[]];
    await store.delete(first, signal);
    expect(await store.findMissing(digests, signal)).toEqual([first]);
    expect(others).not.toHaveLength(0);
  });

  test.each([
    ['a broken source', thenFail(large.subarray(0, PART_BYTES + 2_000_000)), 'the client went away'],
    [
      'a wrong hash',
      inChunks(
        large.map((byte, i) => (i === 3 ? byte ^ 1 : byte)),
        1_000_000,
      ),
      'digest.hash',
    ],
    ['a byte too few', inChunks(large.subarray(1), 1_000_000), 'digest.size_bytes'],
    ['a byte too many', inChunks(Buffer.concat([large, Uint8Array.of(1)]), 1_000_000), 'digest.size_bytes'],
  ])('a large blob with %s leaves neither an object nor parts', async (_, source, message) => {
    const { bucket, store } = await createStore();
    await expect(store.write(largeDigest, source, signal)).rejects.toThrow(message);
    expect(await server.keys(bucket)).toEqual([]);
    expect(await server.unfinishedUploads(bucket)).toEqual([]);
  });

  test('a large blob is not there before it is committed, and whole afterwards', async () => {
    const { bucket, store } = await createStore();
    const writer = await store.openWriter(largeDigest, signal);
    for await (const chunk of inChunks(large, 700_000)) await writer.append(chunk);
    expect(await isStored(store, largeDigest)).toBe(false);
    await expect.poll(() => server.unfinishedUploads(bucket), { timeout: 20_000 }).toHaveLength(1);
    await writer.commit();
    expect(Buffer.from(await store.readWhole(largeDigest, signal)).equals(large)).toBe(true);
    expect(await server.unfinishedUploads(bucket)).toEqual([]);
  });

  test('spreads blobs over the buckets of a template, and lists all of them', async () => {
    await Promise.all(bucketsOf('spread-{hash:1}').map((name) => server.createBucket(name)));
    const { store } = await createStore({ bucket: 'spread-{hash:1}', keyPrefix: '' });
    const blobs = Array.from({ length: 40 }, (_, i) => someBytes(100 + i, i + 1));
    const digests = blobs.map((data) => digestOf(data));
    await Promise.all(blobs.map((data, i) => store.write(digests[i] as Digest, data, signal)));
    await server.overwrite('spread-0', 'blobs/sha256/something', Buffer.from('no blob'));
    const listed: string[] = [];
    for await (const { digest, storedAt } of store.list(signal)) {
      listed.push(digest.hash);
      expect(storedAt).toBeGreaterThan(0);
    }
    expect(listed.sort()).toEqual(digests.map(({ hash }) => hash).sort());
    expect(await server.keys(`spread-${listed[0]?.[0]}`)).not.toHaveLength(0);
  });

  test.each([
    ['an empty object', 0],
    ['a shorter object', PART_BYTES + 1],
    ['a longer object', large.byteLength + 1],
  ])('%s is missing, DATA_LOSS when it is read, and mended by the next upload', async (_, size) => {
    const { bucket, store } = await createStore();
    await store.write(largeDigest, large, signal);
    const [key = ''] = await server.keys(bucket);
    await server.overwrite(bucket, key, new Uint8Array(size));
    expect(await isStored(store, largeDigest)).toBe(false);
    const read = async () => {
      for await (const _chunk of store.read(largeDigest, { offset: PART_BYTES }, signal));
    };
    await expect(read()).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
    await expect(read()).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
    await store.write(largeDigest, large, signal);
    expect(Buffer.from(await store.readWhole(largeDigest, signal)).equals(large)).toBe(true);
  });

  test('changed bytes are DATA_LOSS once, and never served whole', async () => {
    const { bucket, store } = await createStore();
    const verifying = new VerifyingBlobStore(store, silentLogger);
    await store.write(largeDigest, large, signal);
    const [key = ''] = await server.keys(bucket);
    await server.overwrite(
      bucket,
      key,
      large.map((byte, i) => (i === 9 ? byte ^ 1 : byte)),
    );
    const chunks: Uint8Array[] = [];
    const read = async () => {
      for await (const chunk of verifying.read(largeDigest, { offset: 0 }, signal)) chunks.push(chunk);
    };
    await expect(read()).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
    expect(Buffer.concat(chunks).byteLength).toBeLessThan(large.byteLength);
    expect(await isStored(store, largeDigest)).toBe(false);
  });

  test('a blob of more than 10 000 parts is refused with the limit', async () => {
    const { store } = await createStore();
    const digest = { ...largeDigest, sizeBytes: 10_000 * PART_BYTES + 1 };
    await expect(store.openWriter(digest, signal)).rejects.toMatchObject({
      code: StatusCode.INVALID_ARGUMENT,
      message: expect.stringContaining(`${10_000 * PART_BYTES}`),
    });
  });

  describe('uploads that nobody ends', () => {
    const DAY = 86_400_000;

    async function leaveUpload(keyPrefix: string) {
      const { bucket, store } = await createStore({ keyPrefix });
      const writer = await store.openWriter(largeDigest, signal);
      for await (const chunk of inChunks(large.subarray(0, 2 * PART_BYTES), PART_BYTES)) await writer.append(chunk);
      await expect.poll(() => server.unfinishedUploads(bucket), { timeout: 20_000 }).toHaveLength(1);
      const clock = new FakeClock(Date.now());
      const options = { bucket, keyPrefix, maximumAge: DAY };
      const create = (changes: object = {}) =>
        new UnfinishedUploads(objects, { ...options, ...changes }, { clock, logger: silentLogger, random: () => 0.5 });
      return { bucket, clock, create, writer };
    }

    test('are dropped once they are old enough, by any number of replicas at once', async () => {
      const { bucket, clock, create, writer } = await leaveUpload('warren/');
      const [one, two, elsewhere] = [create(), create(), create({ keyPrefix: 'other/' })];
      const dropped = async (uploads: UnfinishedUploads, dryRun = false) =>
        (await uploads.clean(undefined, dryRun, signal)).unfinishedUploads;
      expect(await dropped(one)).toBe(0);
      clock.setWallClock(Date.now() + DAY + 60_000);
      expect(await dropped(elsewhere)).toBe(0);
      expect(await dropped(one, true)).toBe(1);
      expect(await server.unfinishedUploads(bucket)).toHaveLength(1);
      await Promise.all([dropped(one), dropped(two)]);
      expect(await server.unfinishedUploads(bucket)).toEqual([]);
      await writer.append(large.subarray(2 * PART_BYTES));
      await expect(writer.commit()).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
      for (const each of [one, two, elsewhere]) await each.close();
      expect(clock.pendingTimers).toBe(0);
    });

    test('are looked for in the background', async () => {
      const { bucket, clock, create, writer } = await leaveUpload('');
      clock.setWallClock(Date.now() + DAY + 60_000);
      const uploads = create();
      await clock.advance(600_000);
      await expect.poll(() => server.unfinishedUploads(bucket), { timeout: 20_000 }).toEqual([]);
      await uploads.close();
      await writer.abandon();
    });
  });

  test('is reached over TLS by whoever knows the authority', async () => {
    await using certificate = await SelfSignedCertificate.create();
    const authority = await readFile(certificate.certificateFile);
    const proxy = createServer({ cert: authority, key: await readFile(certificate.privateKeyFile) }, (socket) => {
      const inner = connect(server.port, '127.0.0.1');
      for (const each of [socket, inner]) each.on('error', () => {});
      socket.pipe(inner).pipe(socket);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const endpoint = `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const configuration = s3BlobStoreSchema.parse({
      kind: 's3',
      ...server.configuration('any'),
      endpoint,
      attempts: 1,
    });
    const [trusting, other] = [await S3Objects.open(configuration, authority), await S3Objects.open(configuration)];
    try {
      const place = { bucket: await server.createBucket(), key: 'k' };
      await trusting.put(place, Buffer.from('four'), signal);
      expect(await trusting.size(place, signal)).toBe(4);
      await expect(other.size(place, signal)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    } finally {
      trusting.close();
      other.close();
      proxy.close();
    }
  });

  test('an abort ends a call that waits for the server', async () => {
    const { store } = await createStore();
    server.process.signal('SIGSTOP');
    try {
      const controller = new AbortController();
      const read = store.readWhole(largeDigest, controller.signal);
      const write = store.write(largeDigest, large, controller.signal);
      controller.abort();
      await expect(read).rejects.toMatchObject({ name: 'AbortError' });
      await expect(write).rejects.toMatchObject({ name: 'AbortError' });
    } finally {
      server.process.signal('SIGCONT');
    }
  });

  test('a server that does not answer in time is UNAVAILABLE with RetryInfo, after the tries that were allowed', async () => {
    const impatient = await open({ requestTimeoutSeconds: 0.2, attempts: 2 });
    server.process.signal('SIGSTOP');
    try {
      await expect(impatient.size({ bucket: 'b', key: 'k' }, signal)).rejects.toMatchObject({
        code: StatusCode.UNAVAILABLE,
        details: [{ kind: 'retry-info', retryDelayMilliseconds: 1_000 }],
      });
    } finally {
      server.process.signal('SIGCONT');
      impatient.close();
    }
  });

  test('a server that cannot be reached is UNAVAILABLE', async () => {
    const nowhere = await open({ endpoint: 'http://127.0.0.1:1', attempts: 1 });
    await expect(nowhere.put({ bucket: 'b', key: 'k' }, Buffer.from('x'), signal)).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
    });
    nowhere.close();
  });

  test.each([
    ['a bucket that is not there', {}, 'nowhere'],
    ['a wrong secret', { credentials: { accessKeyId: 'test:tester', secretAccessKey: 'wrong' } }, 'any'],
  ])('%s is INTERNAL, with the reason for the log', async (_, changes, bucket) => {
    const other = await open(changes);
    const error = await other.put({ bucket, key: 'k' }, Buffer.from('x'), signal).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: StatusCode.INTERNAL, cause: expect.any(Error) });
    other.close();
  });
});
