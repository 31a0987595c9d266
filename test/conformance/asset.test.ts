import { createHash, randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  FetchBlobRequest,
  type FetchBlobResponse,
  FetchDirectoryRequest,
  type FetchDirectoryResponse,
  FetchService,
  PushBlobRequest,
  PushDirectoryRequest,
  PushService,
} from '../../src/proto/build/bazel/remote/asset/v1/remote_asset.ts';
import {
  BatchUpdateBlobsRequest,
  CapabilitiesService,
  ContentAddressableStorageService,
  DigestFunction_Value,
  Directory,
  GetCapabilitiesRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, blobOf, digestText, freshBlob } from '../support/tenant.ts';
import { describeStatus, failure } from '../support/wire-client.ts';
import { choice, connect } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;

const fetchBlob = (request: Parameters<typeof FetchBlobRequest.create>[0]): Promise<FetchBlobResponse> =>
  client.unary(FetchService.fetchBlob, FetchBlobRequest.create({ instanceName, ...request }));
const fetchDirectory = (request: Parameters<typeof FetchDirectoryRequest.create>[0]): Promise<FetchDirectoryResponse> =>
  client.unary(FetchService.fetchDirectory, FetchDirectoryRequest.create({ instanceName, ...request }));
const pushBlob = (request: Parameters<typeof PushBlobRequest.create>[0]) =>
  client.unary(PushService.pushBlob, PushBlobRequest.create({ instanceName, ...request }));
const pushDirectory = (request: Parameters<typeof PushDirectoryRequest.create>[0]) =>
  client.unary(PushService.pushDirectory, PushDirectoryRequest.create({ instanceName, ...request }));

const freshUri = () => `urn:uuid:${randomUUID()}`;
const qualifier = (name: string, value: string) => ({ name, value });

async function storedBlob(): Promise<Blob> {
  const blob = freshBlob('asset');
  await tenant.upload(blob);
  return blob;
}

/** A folder of one file and one folder with one file; all its blobs. */
function folder(): { readonly root: Blob; readonly child: Blob; readonly deep: Blob; readonly all: readonly Blob[] } {
  const [file, deep] = [freshBlob('file'), freshBlob('deep')];
  const child = blobOf(Directory.encode(Directory.create({ files: [{ name: 'deep', digest: deep.digest }] })).finish());
  const root = blobOf(
    Directory.encode(
      Directory.create({
        files: [{ name: 'file', digest: file.digest }],
        directories: [{ name: 'sub', digest: child.digest }],
      }),
    ).finish(),
  );
  return { root, child, deep, all: [file, deep, child, root] };
}

/** Seconds from now. */
const inSeconds = (seconds: number) => ({ seconds: BigInt(Math.round(Date.now() / 1_000) + seconds), nanos: 0 });

const code = (answer: FetchBlobResponse | FetchDirectoryResponse) => describeStatus(answer.status).code;

describe('Push.PushBlob and Fetch.FetchBlob', () => {
  it('what was pushed is fetched, by any of its URIs', async () => {
    const blob = await storedBlob();
    const uris = [freshUri(), freshUri()];
    await pushBlob({ uris, blobDigest: blob.digest });
    for (const uri of uris) {
      const answer = await fetchBlob({ uris: [freshUri(), uri] });
      expect([code(answer), answer.uri, answer.blobDigest]).toEqual(['OK', uri, blob.digest]);
    }
  });

  it('qualifiers match in any order', async () => {
    const blob = await storedBlob();
    const uris = [freshUri()];
    const [a, b] = [qualifier('vcs.commit', 'b5123b1'), qualifier('resource_type', 'application/x-git')];
    await pushBlob({ uris, blobDigest: blob.digest, qualifiers: [a, b] });
    expect((await fetchBlob({ uris, qualifiers: [b, a] })).blobDigest).toEqual(blob.digest);
  });

  choice('qualifiers match exactly: none too few and none too many', async () => {
    const blob = await storedBlob();
    const uris = [freshUri()];
    const pushed = [qualifier('vcs.commit', 'b5123b1'), qualifier('directory', 'src')];
    await pushBlob({ uris, blobDigest: blob.digest, qualifiers: pushed });
    for (const qualifiers of [[], pushed.slice(1), [...pushed, qualifier('vcs.branch', 'main')]]) {
      expect(code(await fetchBlob({ uris, qualifiers }))).toBe('NOT_FOUND');
    }
    const answer = await fetchBlob({ uris, qualifiers: pushed });
    expect([code(answer), answer.qualifiers]).toEqual(['OK', pushed]);
  });

  it('a later push replaces an earlier one', async () => {
    const [first, second] = [await storedBlob(), await storedBlob()];
    const uris = [freshUri()];
    await pushBlob({ uris, blobDigest: first.digest });
    await pushBlob({ uris, blobDigest: second.digest });
    expect((await fetchBlob({ uris })).blobDigest).toEqual(second.digest);
  });

  it('the answer names the digest function, and the time until which the content is expected to be there', async () => {
    const blob = await storedBlob();
    const uris = [freshUri()];
    const expireAt = inSeconds(3_600);
    await pushBlob({ uris, blobDigest: blob.digest, expireAt });
    const answer = await fetchBlob({ uris });
    expect(answer.digestFunction).toBe(DigestFunction_Value.SHA256);
    expect(answer.expiresAt).toEqual(expireAt);
  });

  it('a later push alters the time until which it is fetched', async () => {
    const blob = await storedBlob();
    const uris = [freshUri()];
    const [first, second] = [inSeconds(3_600), inSeconds(7_200)];
    await pushBlob({ uris, blobDigest: blob.digest, expireAt: first });
    await pushBlob({ uris, blobDigest: blob.digest, expireAt: second });
    expect((await fetchBlob({ uris })).expiresAt).toEqual(second);
  });

  it('an answer has the digest function that was asked for, and SHA256 where none was', async () => {
    const { digestFunctions = [] } =
      (await client.unary(CapabilitiesService.getCapabilities, GetCapabilitiesRequest.create({ instanceName })))
        .cacheCapabilities ?? {};
    const { SHA256, SHA512 } = DigestFunction_Value;
    const blob = await storedBlob();
    const [uris, hash] = [[freshUri()], createHash('sha512').update(blob.data).digest('hex')];
    await pushBlob({ uris, blobDigest: blob.digest });
    if (digestFunctions.includes(SHA512)) {
      const digest = { hash, sizeBytes: blob.digest.sizeBytes };
      const requests = [{ digest, data: blob.data }];
      const upload = BatchUpdateBlobsRequest.create({ instanceName, requests, digestFunction: SHA512 });
      await client.unary(ContentAddressableStorageService.batchUpdateBlobs, upload);
      await pushBlob({ uris, blobDigest: digest, digestFunction: SHA512 });
      const answer = await fetchBlob({ uris, digestFunction: SHA512 });
      expect([answer.digestFunction, answer.blobDigest]).toEqual([SHA512, digest]);
    }
    const answer = await fetchBlob({ uris });
    expect([answer.digestFunction, answer.blobDigest]).toEqual([SHA256, blob.digest]);
  });

  choice('a push that has expired already takes back what was pushed', async () => {
    const blob = await storedBlob();
    const uris = [freshUri()];
    await pushBlob({ uris, blobDigest: blob.digest });
    await pushBlob({ uris, blobDigest: blob.digest, expireAt: inSeconds(-60) });
    expect(code(await fetchBlob({ uris }))).toBe('NOT_FOUND');
  });

  it('content that is older than the client accepts is not given', async () => {
    const blob = await storedBlob();
    const uris = [freshUri()];
    await pushBlob({ uris, blobDigest: blob.digest });
    expect(code(await fetchBlob({ uris, oldestContentAccepted: inSeconds(-3_600) }))).toBe('OK');
    expect(code(await fetchBlob({ uris, oldestContentAccepted: inSeconds(3_600) }))).toBe('NOT_FOUND');
  });

  it('what nobody pushed and nobody can fetch is NOT_FOUND in the answer', async () => {
    const uris = [freshUri()];
    const answer = await fetchBlob({ uris });
    expect([code(answer), answer.uri, answer.blobDigest]).toEqual(['NOT_FOUND', uris[0], undefined]);
  });

  it('a blob is no folder: the kinds are apart', async () => {
    const blob = await storedBlob();
    const uris = [freshUri()];
    await pushBlob({ uris, blobDigest: blob.digest });
    expect(code(await fetchDirectory({ uris }))).toBe('NOT_FOUND');
  });
});

describe('Push.PushDirectory and Fetch.FetchDirectory', () => {
  it('what was pushed is fetched', async () => {
    const { root, all } = folder();
    await tenant.upload(...all);
    const uris = [freshUri()];
    await pushDirectory({ uris, rootDirectoryDigest: root.digest, qualifiers: [qualifier('vcs.branch', 'main')] });
    const answer = await fetchDirectory({ uris, qualifiers: [qualifier('vcs.branch', 'main')] });
    expect([code(answer), answer.uri, answer.rootDirectoryDigest]).toEqual(['OK', uris[0], root.digest]);
  });

  choice('everything in the folder must be stored', async () => {
    const { root, deep, all } = folder();
    await tenant.upload(...all.filter((each) => each !== deep));
    const error = await failure(pushDirectory({ uris: [freshUri()], rootDirectoryDigest: root.digest }));
    expect(error.code).toBe('FAILED_PRECONDITION');
    expect(error.violations).toEqual([`MISSING blobs/${digestText(deep.digest)}`]);
  });

  choice('a folder that nobody pushed is NOT_FOUND, with the reason', async () => {
    const answer = await fetchDirectory({ uris: [freshUri()] });
    expect(describeStatus(answer.status)).toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('nobody has pushed'),
    });
  });
});

describe('references', () => {
  choice('a push that refers to what is not stored names all of it', async () => {
    const blob = await storedBlob();
    const [missing, { root, deep, all }] = [freshBlob(), folder()];
    await tenant.upload(...all.filter((each) => each !== deep));
    const error = await failure(
      pushBlob({
        uris: [freshUri()],
        blobDigest: blob.digest,
        referencesBlobs: [missing.digest],
        referencesDirectories: [root.digest],
      }),
    );
    expect(error.code).toBe('FAILED_PRECONDITION');
    const expected = [missing, deep].map(({ digest }) => `MISSING blobs/${digestText(digest)}`);
    expect([...error.violations].sort()).toEqual(expected.sort());
  });

  it('a push that refers to what is stored is fetched', async () => {
    const [blob, other, { root, all }] = [await storedBlob(), await storedBlob(), folder()];
    await tenant.upload(...all);
    const uris = [freshUri()];
    await pushBlob({
      uris,
      blobDigest: blob.digest,
      referencesBlobs: [other.digest],
      referencesDirectories: [root.digest],
    });
    expect((await fetchBlob({ uris })).blobDigest).toEqual(blob.digest);
  });
});

describe('bad input', () => {
  it('no URI is INVALID_ARGUMENT in every call: BuildStream asks so whether it is served', async () => {
    const { digest } = await storedBlob();
    for (const call of [
      () => fetchBlob({}),
      () => fetchDirectory({}),
      () => pushBlob({ blobDigest: digest }),
      () => pushDirectory({ rootDirectoryDigest: digest }),
    ]) {
      const error = await failure(call());
      expect(error.code).toBe('INVALID_ARGUMENT');
      expect(error.message).toContain('uris');
    }
  });

  it('a qualifier that comes twice is INVALID_ARGUMENT', async () => {
    const qualifiers = [qualifier('vcs.branch', 'a'), qualifier('vcs.branch', 'b')];
    const error = await failure(fetchBlob({ uris: [freshUri()], qualifiers }));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('vcs.branch');
  });

  it('a qualifier that no download can be held against is INVALID_ARGUMENT', async () => {
    const uris = [`https://example.com/${randomUUID()}`];
    const error = await failure(fetchBlob({ uris, qualifiers: [qualifier('com.example.colour', 'blue')] }));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('"com.example.colour" not supported');
    expect(error.fields).toEqual(['qualifiers.name: "com.example.colour" not supported']);
  });

  it('a push of what is not stored fails', async () => {
    const error = await failure(pushBlob({ uris: [freshUri()], blobDigest: freshBlob().digest }));
    expect(['FAILED_PRECONDITION', 'INVALID_ARGUMENT']).toContain(error.code);
  });

  it.each([
    ['no digest', undefined],
    ['a malformed hash', { hash: 'x'.repeat(64), sizeBytes: 1n }],
    ['a negative size', { hash: '0'.repeat(64), sizeBytes: -1n }],
  ])('a push of %s is INVALID_ARGUMENT', async (_, blobDigest) => {
    const error = await failure(pushBlob({ uris: [freshUri()], ...(blobDigest && { blobDigest }) }));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('digest');
  });

  choice('a checksum that is not that of the pushed blob is INVALID_ARGUMENT', async () => {
    const blob = await storedBlob();
    const qualifiers = [qualifier('checksum.sri', `sha256-${Buffer.alloc(32).toString('base64')}`)];
    const error = await failure(pushBlob({ uris: [freshUri()], blobDigest: blob.digest, qualifiers }));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('checksum.sri');
  });

  choice('an instance that is not served is INVALID_ARGUMENT', async () => {
    const error = await failure(fetchBlob({ instanceName: `no-such-${randomUUID()}`, uris: [freshUri()] }));
    expect(error.code).toBe('INVALID_ARGUMENT');
  });

  choice('an address that is not public is PERMISSION_DENIED in the answer, however it is written', async () => {
    for (const host of ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1']) {
      const uri = `http://${host}:1/`;
      const answer = await fetchBlob({ uris: [uri] });
      expect([code(answer), answer.uri]).toEqual(['PERMISSION_DENIED', uri]);
    }
  });
});
