import { beforeEach, describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { MemoryAssetStore } from '../adapters/asset/memory/memory-asset-store.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { type Digest, digestOf, emptyDigest } from '../domain/digest.ts';
import { SHA256 } from '../domain/digest-function.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError, unavailable } from '../domain/status-error.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { type Logger, silentLogger } from '../lib/log.ts';
import { type ArchiveRequest, type Origin, OriginError, type OriginRequest } from '../ports/origin.ts';
import {
  FetchBlobRequest,
  type FetchBlobResponse,
  FetchDirectoryRequest,
  PushBlobRequest,
  PushDirectoryRequest,
} from '../proto/build/bazel/remote/asset/v1/remote_asset.ts';
import { DigestFunction_Value, Directory } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../wire/digest.ts';
import { encodeDirectory } from '../wire/directory.ts';
import { timestampFromMilliseconds } from '../wire/time.ts';
import { Assets } from './assets.ts';
import { Fetch } from './fetch.ts';
import { Instances } from './instances.ts';
import { OriginFetcher } from './origin-fetcher.ts';
import { Push } from './push.ts';
import { SharedDownloads } from './shared-downloads.ts';

const signal = new AbortController().signal;
const URI = 'https://a.example/file';
const MIRROR = 'https://b.example/file';

/** An origin that has what a test says, and remembers what it was asked. An archive of it unpacks to one file. */
class FakeOrigin implements Origin {
  readonly content = new Map<string, string | StatusError>();
  readonly requests: OriginRequest[] = [];
  /** What each download waits for before it goes on. */
  gate: Promise<void> = Promise.resolve();

  serves(uri: string): boolean {
    return uri.startsWith('https:');
  }

  async download(request: OriginRequest, blobs: MemoryBlobStore, end: AbortSignal): Promise<Digest> {
    this.requests.push(request);
    await Promise.race([
      this.gate,
      new Promise((_, reject) => end.addEventListener('abort', () => reject(end.reason))),
    ]);
    const found = this.content.get(request.uri) ?? new OriginError(StatusCode.NOT_FOUND, 'the origin has none');
    if (found instanceof Error) throw found;
    const data = Buffer.from(found);
    const digest = digestOf(data, request.digestFunction);
    await blobs.write(digest, data, end);
    return digest;
  }

  async unpack(request: ArchiveRequest, blobs: MemoryBlobStore, end: AbortSignal): Promise<Digest> {
    const digest = await this.download(request, blobs, end);
    const root = encodeDirectory({
      files: [{ name: [...request.folder, 'file'].join('-'), digest, isExecutable: false }],
      directories: [],
      symlinks: [],
    });
    const rootDigest = digestOf(root, request.digestFunction);
    await blobs.write(rootDigest, root, end);
    return rootDigest;
  }
}

let clock: FakeClock;
let blobs: MemoryBlobStore;
let origin: FakeOrigin;
let fetch: Fetch;
let push: Push;
let outcomes: string[];

beforeEach(() => {
  clock = new FakeClock();
  blobs = new MemoryBlobStore(1 << 20);
  origin = new FakeOrigin();
  const instances = new Instances([testInstance(blobs, { name: 'main' }), testInstance(blobs, { name: 'other' })]);
  const assets = new Assets(new MemoryAssetStore(1 << 20, clock), silentLogger);
  const downloads = new SharedDownloads<Digest>(clock, 100);
  const origins = new OriginFetcher({ origin, downloads, clock, defaultTimeout: 10_000, maximumTimeout: 60_000 });
  outcomes = [];
  const observer = { assetFetched: (kind: string, outcome: string) => void outcomes.push(`${kind} ${outcome}`) };
  fetch = new Fetch({ instances, assets, origins, observer });
  push = new Push({ instances, assets, clock, allowed: true });
});

type BlobRequest = Parameters<typeof FetchBlobRequest.create>[0];

const fetchBlob = (parts: BlobRequest = {}, context = callContext()) =>
  fetch.fetchBlob(FetchBlobRequest.create({ instanceName: 'main', uris: [URI], ...parts }), context);

async function pushBlob(text: string, parts: Parameters<typeof PushBlobRequest.create>[0] = {}): Promise<Digest> {
  const digest = digestOf(Buffer.from(text));
  await blobs.write(digest, Buffer.from(text), signal);
  const request = { instanceName: 'main', uris: [URI], blobDigest: digestToWire(digest), ...parts };
  await push.pushBlob(PushBlobRequest.create(request), callContext());
  return digest;
}

const hashOf = ({ blobDigest }: FetchBlobResponse) => blobDigest?.hash;
const shaOf = (text: string) => digestOf(Buffer.from(text)).hash;

describe('a download', () => {
  test('is kept, and not repeated', async () => {
    origin.content.set(URI, 'content');
    for (let i = 0; i < 2; i++) {
      const answer = await fetchBlob();
      expect([answer.status?.code, answer.uri, hashOf(answer)]).toEqual([0, URI, shaOf('content')]);
    }
    expect(origin.requests).toHaveLength(1);
    await fetchBlob({ uris: ['urn:nobody-knows'] });
    expect(outcomes).toEqual(['blob downloaded', 'blob known', 'blob missing']);
  });

  test('is repeated once its content is not stored any more', async () => {
    origin.content.set(URI, 'content');
    await fetchBlob();
    await blobs.delete(digestOf(Buffer.from('content')), signal);
    expect(hashOf(await fetchBlob())).toBe(shaOf('content'));
    expect(origin.requests).toHaveLength(2);
  });

  test('is never logged with what opens it', async () => {
    const logged: object[] = [];
    const logger: Logger = { ...silentLogger, debug: (fields) => logged.push(fields) };
    const assets = new Assets(new MemoryAssetStore(1 << 20, clock), logger);
    const identity = {
      instanceName: 'main',
      kind: 'blob' as const,
      digestFunction: SHA256,
      uri: 'https://user:p@ss@a.example/f?key=hush#x',
      qualifiers: [],
    };
    const digest = digestOf(Buffer.from('gone'));
    const common = { qualifiers: [], storedAt: 0, expiresAt: undefined, blobs: [], directories: [] };
    await assets.put(identity, { ...common, digest }, signal);
    expect(await assets.find(identity, 0, blobs, signal)).toBeUndefined();
    expect(logged).toMatchObject([{ uri: 'https://a.example/f' }]);
  });

  test('is repeated for another instance, digest function or set of qualifiers', async () => {
    origin.content.set(URI, 'content');
    await fetchBlob();
    await fetchBlob({ instanceName: 'other' });
    await fetchBlob({ qualifiers: [{ name: 'bazel.canonical_id', value: 'x' }] });
    const answer = await fetchBlob({ digestFunction: DigestFunction_Value.SHA512 });
    expect(answer.digestFunction).toBe(DigestFunction_Value.SHA512);
    expect(hashOf(answer)).toHaveLength(128);
    expect(origin.requests).toHaveLength(4);
  });

  test('is repeated where the kept one is older than accepted; a future time accepts what is new', async () => {
    origin.content.set(URI, 'old');
    await fetchBlob();
    await clock.advance(1_000);
    origin.content.set(URI, 'new');
    const accepted = (milliseconds: number) => ({
      oldestContentAccepted: timestampFromMilliseconds(clock.now() + milliseconds),
    });
    expect(hashOf(await fetchBlob(accepted(-1_000)))).toBe(shaOf('old'));
    expect(hashOf(await fetchBlob(accepted(-999)))).toBe(shaOf('new'));
    expect(hashOf(await fetchBlob(accepted(3_600_000)))).toBe(shaOf('new'));
    expect(origin.requests).toHaveLength(3);
  });

  test('is one for all who ask at once', async () => {
    origin.content.set(URI, 'content');
    const answers = await Promise.all(Array.from({ length: 10 }, () => fetchBlob()));
    expect(new Set(answers.map(hashOf))).toEqual(new Set([shaOf('content')]));
    expect(origin.requests).toHaveLength(1);
  });

  test('is not shared between clients with different credentials', async () => {
    origin.content.set(URI, 'content');
    const as = (value: string) => ({ qualifiers: [{ name: 'http_header:authorization', value }] });
    await Promise.all([fetchBlob(as('alice')), fetchBlob(as('bob'))]);
    expect(origin.requests.map(({ headers }) => headers)).toEqual([
      [['authorization', 'alice']],
      [['authorization', 'bob']],
    ]);
    expect((await fetchBlob(as('alice'))).qualifiers).toEqual([]);
    expect(origin.requests).toHaveLength(2);
  });

  test('comes from the next URI where one does not bring it', async () => {
    origin.content.set(URI, unavailable('down', 1_000)).set(MIRROR, 'content');
    const answer = await fetchBlob({ uris: ['urn:never:pushed', URI, MIRROR] });
    expect([answer.uri, hashOf(answer)]).toEqual([MIRROR, shaOf('content')]);
    expect(hashOf(await fetchBlob({ uris: [MIRROR] }))).toBe(shaOf('content'));
    expect(origin.requests).toHaveLength(2);
  });

  test('that fails for good is told in the answer, with the URI', async () => {
    origin.content.set(MIRROR, new OriginError(StatusCode.ABORTED, 'wrong checksum'));
    const answer = await fetchBlob({ uris: [URI, MIRROR] });
    expect([answer.status?.code, answer.uri, answer.blobDigest]).toEqual([StatusCode.ABORTED, MIRROR, undefined]);
  });

  test('that may go well another time fails the call', async () => {
    origin.content.set(MIRROR, unavailable('down', 1_000));
    await expect(fetchBlob({ uris: [URI, MIRROR] })).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
      details: [{ kind: 'retry-info' }],
    });
  });

  test('that fails because of us is not tried elsewhere', async () => {
    origin.content.set(URI, new StatusError(StatusCode.INTERNAL, 'our disk')).set(MIRROR, 'content');
    await expect(fetchBlob({ uris: [URI, MIRROR] })).rejects.toMatchObject({ code: StatusCode.INTERNAL });
  });

  test('takes no longer than the client allows, for all its URIs together', async () => {
    origin.gate = new Promise(() => {});
    const answered = fetchBlob({ uris: [URI, MIRROR], timeout: { seconds: 2n, nanos: 0 } });
    await clock.advance(2_000);
    const answer = await answered;
    expect([answer.status?.code, answer.uri]).toEqual([StatusCode.DEADLINE_EXCEEDED, URI]);
    expect(origin.requests).toHaveLength(1);
  });

  test('takes no longer than the server allows, whatever the client says', async () => {
    origin.gate = new Promise(() => {});
    const answered = fetchBlob({ timeout: { seconds: 1_000_000n, nanos: 0 } });
    await clock.advance(60_000);
    expect((await answered).status?.code).toBe(StatusCode.DEADLINE_EXCEEDED);
  });

  test('goes on when its caller leaves, and is there for the next call', async () => {
    origin.content.set(URI, 'content');
    let open = () => {};
    origin.gate = new Promise((resolve) => (open = resolve));
    const leaving = new AbortController();
    const left = fetchBlob({}, callContext({ signal: leaving.signal }));
    await clock.advance(0);
    leaving.abort();
    await expect(left).rejects.toMatchObject({ name: 'AbortError' });
    const next = fetchBlob();
    open();
    expect(hashOf(await next)).toBe(shaOf('content'));
    expect(origin.requests).toHaveLength(1);
  });

  test('is asked for with the checksum and the type that it must have', async () => {
    origin.content.set(URI, 'content');
    const sri = `sha256-${Buffer.from(shaOf('content'), 'hex').toString('base64')}`;
    const qualifiers = [
      { name: 'checksum.sri', value: sri },
      { name: 'resource_type', value: 'Application/X-Tar' },
    ];
    expect((await fetchBlob({ qualifiers })).qualifiers).toEqual(qualifiers);
    expect(origin.requests[0]).toMatchObject({
      checksums: [{ hash: shaOf('content') }],
      mediaType: 'application/x-tar',
    });
  });
});

describe('what was pushed', () => {
  test('comes before what the origin has', async () => {
    origin.content.set(URI, 'of the origin');
    await pushBlob('pushed');
    expect(hashOf(await fetchBlob())).toBe(shaOf('pushed'));
    expect(origin.requests).toEqual([]);
  });

  test('of a later URI comes before a download of an earlier one', async () => {
    origin.content.set(URI, 'of the origin');
    await pushBlob('pushed', { uris: ['urn:a'] });
    expect(hashOf(await fetchBlob({ uris: [URI, 'urn:a'] }))).toBe(shaOf('pushed'));
  });

  test('is fetched from the origin once its content is not stored any more', async () => {
    origin.content.set(URI, 'of the origin');
    await blobs.delete(await pushBlob('pushed'), signal);
    expect(hashOf(await fetchBlob())).toBe(shaOf('of the origin'));
  });

  test('is a miss once anything that it refers to is not stored any more', async () => {
    const [file, other] = [Buffer.from('file'), Buffer.from('other')];
    const root = Directory.encode(
      Directory.create({ files: [{ name: 'file', digest: digestToWire(digestOf(file)) }] }),
    ).finish();
    for (const each of [file, other, root]) await blobs.write(digestOf(each), each, signal);
    await pushBlob('pushed', {
      uris: ['urn:a'],
      referencesBlobs: [digestToWire(digestOf(other))],
      referencesDirectories: [digestToWire(digestOf(root))],
    });
    const code = async () => (await fetchBlob({ uris: ['urn:a'] })).status?.code;
    expect(await code()).toBe(0);
    await blobs.delete(digestOf(file), signal);
    expect(await code()).toBe(StatusCode.NOT_FOUND);
    await blobs.write(digestOf(file), file, signal);
    await blobs.delete(digestOf(other), signal);
    expect(await code()).toBe(StatusCode.NOT_FOUND);
  });

  test('is not given once its time has passed', async () => {
    const expireAt = timestampFromMilliseconds(clock.now() + 1_000);
    await pushBlob('pushed', { uris: ['urn:a'], expireAt });
    expect((await fetchBlob({ uris: ['urn:a'] })).expiresAt).toEqual(expireAt);
    await clock.advance(1_000);
    expect((await fetchBlob({ uris: ['urn:a'] })).status?.code).toBe(StatusCode.NOT_FOUND);
  });
});

describe('an archive', () => {
  const fetchDirectory = (parts: Parameters<typeof FetchDirectoryRequest.create>[0] = {}) =>
    fetch.fetchDirectory(FetchDirectoryRequest.create({ instanceName: 'main', uris: [URI], ...parts }), callContext());
  const inside = (value: string) => ({ qualifiers: [{ name: 'directory', value }] });

  beforeEach(() => {
    origin.content.set(URI, 'content');
  });

  test('is unpacked into a folder that is kept, in the digest function of the request', async () => {
    const digestFunction = DigestFunction_Value.SHA512;
    const [first, second] = [await fetchDirectory({ digestFunction }), await fetchDirectory({ digestFunction })];
    expect([first.status?.code, first.rootDirectoryDigest?.hash.length, first.digestFunction]).toEqual([
      0,
      128,
      digestFunction,
    ]);
    expect(second.rootDirectoryDigest).toEqual(first.rootDirectoryDigest);
    expect(origin.requests).toHaveLength(1);
    expect(outcomes).toEqual(['directory downloaded', 'directory known']);
  });

  test('is fetched again once a file in it is not stored any more', async () => {
    await fetchDirectory();
    await blobs.delete(digestOf(Buffer.from('content')), signal);
    expect((await fetchDirectory()).status?.code).toBe(0);
    expect(origin.requests).toHaveLength(2);
  });

  test('and the file of its URI are known apart', async () => {
    const { rootDirectoryDigest } = await fetchDirectory();
    expect(hashOf(await fetchBlob())).not.toBe(rootDirectoryDigest?.hash);
    expect(origin.requests).toHaveLength(2);
  });

  test('gives the folder in it that is asked for, each known by itself', async () => {
    const answers = [await fetchDirectory(inside('a/b')), await fetchDirectory(inside('a')), await fetchDirectory()];
    expect(new Set(answers.map((each) => each.rootDirectoryDigest?.hash)).size).toBe(3);
    expect(origin.requests.map((each) => (each as ArchiveRequest).folder)).toEqual([['a', 'b'], ['a'], []]);
  });

  test.each(['', '/a', 'a/', 'a//b', '../a', 'a/./b'])('with the folder "%s" is INVALID_ARGUMENT', async (folder) => {
    await expect(fetchDirectory(inside(folder))).rejects.toMatchObject({
      code: StatusCode.INVALID_ARGUMENT,
      message: expect.stringContaining('directory'),
    });
    expect(origin.requests).toEqual([]);
  });

  test('of a commit is INVALID_ARGUMENT: repositories are not cloned', async () => {
    const qualifiers = [{ name: 'vcs.commit', value: 'x' }, ...inside('a').qualifiers];
    await expect(fetchDirectory({ qualifiers })).rejects.toMatchObject({
      message: expect.stringMatching(/"vcs.commit" not supported for downloads$/),
    });
  });

  test('that was pushed as a folder is not asked for', async () => {
    const root = encodeDirectory({ files: [], directories: [{ name: 'a', digest: emptyDigest() }], symlinks: [] });
    await blobs.write(digestOf(root), root, signal);
    const rootDirectoryDigest = digestToWire(digestOf(root));
    const request = PushDirectoryRequest.create({ instanceName: 'main', uris: [URI], rootDirectoryDigest });
    await push.pushDirectory(request, callContext());
    expect((await fetchDirectory()).rootDirectoryDigest).toEqual(rootDirectoryDigest);
    expect(origin.requests).toEqual([]);
  });

  test('that is of an unknown format is told after every other try', async () => {
    origin.content.set(URI, new OriginError(StatusCode.UNIMPLEMENTED, 'the archive is zip'));
    const answer = await fetchDirectory({ uris: [URI, MIRROR] });
    expect([answer.status?.code, answer.uri]).toEqual([StatusCode.UNIMPLEMENTED, URI]);
    expect(origin.requests).toHaveLength(2);
  });
});

describe('qualifiers', () => {
  const unknown = [
    { name: 'vcs.commit', value: 'x' },
    { name: 'colour', value: 'blue' },
  ];

  test('that no download can be held against are INVALID_ARGUMENT, all of them named as the protocol wants', async () => {
    await expect(fetchBlob({ qualifiers: unknown })).rejects.toMatchObject({
      code: StatusCode.INVALID_ARGUMENT,
      details: [
        {
          kind: 'bad-request',
          violations: [
            { field: 'qualifiers.name', description: '"vcs.commit" not supported' },
            { field: 'qualifiers.name', description: '"colour" not supported' },
          ],
        },
      ],
    });
  });

  test('of any kind are NOT_FOUND for what is not downloaded in any case', async () => {
    const answer = await fetchBlob({ uris: ['urn:a'], qualifiers: unknown });
    expect(answer.status?.code).toBe(StatusCode.NOT_FOUND);
  });

  test('with a checksum of none but unknown algorithms are INVALID_ARGUMENT', async () => {
    const qualifiers = [{ name: 'checksum.sri', value: 'md5-AAAA' }];
    await expect(fetchBlob({ qualifiers })).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
  });
});

test('a negative timeout is INVALID_ARGUMENT', async () => {
  await expect(fetchBlob({ timeout: { seconds: -1n, nanos: 0 } })).rejects.toThrow('timeout');
});

test('without downloads there is only what was pushed', async () => {
  const instances = new Instances([testInstance(blobs)]);
  const assets = new Assets(new MemoryAssetStore(1 << 20, clock), silentLogger);
  const pushedOnly = new Fetch({ instances, assets, origins: undefined });
  const request = FetchBlobRequest.create({ instanceName: 'main', uris: [URI] });
  expect((await pushedOnly.fetchBlob(request, callContext())).status?.code).toBe(StatusCode.NOT_FOUND);
});

test('where clients may not push, they are told so before anything else', async () => {
  const instances = new Instances([testInstance(blobs)]);
  const assets = new Assets(new MemoryAssetStore(1 << 20, clock), silentLogger);
  const closed = new Push({ instances, assets, clock, allowed: false });
  const request = PushBlobRequest.create({ instanceName: 'main' });
  await expect(closed.pushBlob(request, callContext())).rejects.toMatchObject({ code: StatusCode.PERMISSION_DENIED });
});

test('references beyond the limit are INVALID_ARGUMENT', async () => {
  const referencesBlobs = Array.from({ length: 20_001 }, () => digestToWire(digestOf(Buffer.from('x'))));
  await expect(pushBlob('pushed', { referencesBlobs })).rejects.toThrow('20000 at most');
});
