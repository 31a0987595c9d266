import { createHash, randomUUID } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { blake3 } from '@napi-rs/blake-hash';
import { describe, expect, it, type TestContext } from 'vitest';
import {
  Action,
  ActionCacheService,
  ActionResult,
  BatchReadBlobsRequest,
  BatchUpdateBlobsRequest,
  CapabilitiesService,
  Command,
  Compressor_Value,
  ContentAddressableStorageService,
  type Digest,
  DigestFunction_Value,
  Directory,
  ExecuteOperationMetadata,
  FindMissingBlobsRequest,
  GetActionResultRequest,
  GetCapabilitiesRequest,
  GetTreeRequest,
  SpliceBlobRequest,
  SplitBlobRequest,
  UpdateActionResultRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { describeStatus, failure } from '../support/wire-client.ts';
import { choice, connect, Platform } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;
const cas = ContentAddressableStorageService;

/** Hashes of small blobs, computed here and not by the code under test. SHA256TREE has those of SHA-256 up to 1 KiB. */
const functions: ReadonlyArray<
  readonly [keyof typeof DigestFunction_Value, (data: Buffer) => string, segment: string]
> = [
  ['SHA1', crypto('sha1'), ''],
  ['MD5', crypto('md5'), ''],
  ['SHA256', crypto('sha256'), ''],
  ['SHA384', crypto('sha384'), ''],
  ['SHA512', crypto('sha512'), ''],
  ['SHA256TREE', crypto('sha256'), 'sha256tree/'],
  ['BLAKE3', (data) => blake3(data).toString('hex'), 'blake3/'],
];

function crypto(algorithm: string): (data: Buffer) => string {
  return (data) => createHash(algorithm).update(data).digest('hex');
}

const offered = client.unary(CapabilitiesService.getCapabilities, GetCapabilitiesRequest.create({ instanceName }));

/** Skips the case where the server does not offer the function. */
async function requireOffered(digestFunction: DigestFunction_Value, context: TestContext): Promise<void> {
  const { cacheCapabilities } = await offered;
  if (cacheCapabilities?.digestFunctions.includes(digestFunction) !== true) context.skip();
}

interface Blob {
  readonly data: Buffer;
  readonly digest: Digest;
}

describe.each(functions)('%s', (name, hash, segment) => {
  const digestFunction = DigestFunction_Value[name];
  const blobOf = (data: Uint8Array): Blob => ({
    data: Buffer.from(data),
    digest: { hash: hash(Buffer.from(data)), sizeBytes: BigInt(data.byteLength) },
  });
  const fresh = () => blobOf(Buffer.from(randomUUID()));

  async function upload(...blobs: readonly Blob[]): Promise<string[]> {
    const request = BatchUpdateBlobsRequest.create({ instanceName, requests: [...blobs], digestFunction });
    const { responses } = await client.unary(cas.batchUpdateBlobs, request);
    return responses.map((each) => describeStatus(each.status).code);
  }

  async function findMissing(digests: Digest[], stated = digestFunction): Promise<Digest[]> {
    const request = FindMissingBlobsRequest.create({ instanceName, blobDigests: digests, digestFunction: stated });
    return (await client.unary(cas.findMissingBlobs, request)).missingBlobDigests;
  }

  it('a blob that is stored in a batch is not missing, and is read in a batch', async (context) => {
    await requireOffered(digestFunction, context);
    const [stored, absent] = [fresh(), fresh()];
    expect(await upload(stored)).toEqual(['OK']);
    expect(await findMissing([stored.digest, absent.digest])).toEqual([absent.digest]);
    const request = BatchReadBlobsRequest.create({ instanceName, digests: [stored.digest], digestFunction });
    const { responses } = await client.unary(cas.batchReadBlobs, request);
    expect(responses[0]?.data).toEqual(stored.data);
  });

  // Names have a segment for the others, and their hashes are as long as those of another function.
  it.for(segment === '' ? [name] : [])('%s is told by the length of hashes', async (_name, context) => {
    await requireOffered(digestFunction, context);
    const [stored, absent] = [fresh(), fresh()];
    await upload(stored);
    expect(await findMissing([absent.digest, stored.digest], DigestFunction_Value.UNKNOWN)).toEqual([absent.digest]);
  });

  it('a blob is written and read by names', async (context) => {
    await requireOffered(digestFunction, context);
    const blob = fresh();
    const path = `blobs/${segment}${blob.digest.hash}/${blob.digest.sizeBytes}`;
    const { committedSize } = await tenant.writeBlob(blob, tenant.resource(`uploads/${randomUUID()}/${path}`));
    expect(committedSize).toBe(blob.digest.sizeBytes);
    expect(await tenant.read(tenant.resource(path))).toEqual(blob.data);
    expect(await findMissing([blob.digest])).toEqual([]);
  });

  it('a blob is written and read compressed by names', async (context) => {
    await requireOffered(digestFunction, context);
    const compressors = (await offered).cacheCapabilities?.supportedCompressors ?? [];
    if (!compressors.includes(Compressor_Value.DEFLATE)) context.skip();
    const blob = fresh();
    const path = `compressed-blobs/deflate/${segment}${blob.digest.hash}/${blob.digest.sizeBytes}`;
    const resourceName = tenant.resource(`uploads/${randomUUID()}/${path}`);
    await tenant.write({ resourceName, data: deflateRawSync(blob.data), finishWrite: true });
    expect(inflateRawSync(await tenant.read(tenant.resource(path)))).toEqual(blob.data);
    expect(await findMissing([blob.digest])).toEqual([]);
  });

  it('bytes that do not have the hash are refused', async (context) => {
    await requireOffered(digestFunction, context);
    const blob = fresh();
    expect(await upload({ ...blob, data: Buffer.from(randomUUID()) })).toEqual(['INVALID_ARGUMENT']);
    expect(await findMissing([blob.digest])).toEqual([blob.digest]);
  });

  it('a hash that differs from that of a stored blob in its last digit alone is missing', async (context) => {
    await requireOffered(digestFunction, context);
    const { digest, ...rest } = fresh();
    await upload({ digest, ...rest });
    const other = { ...digest, hash: `${digest.hash.slice(0, -1)}${digest.hash.endsWith('0') ? '1' : '0'}` };
    expect(await findMissing([other])).toEqual([other]);
  });

  it('the empty blob is there', async (context) => {
    await requireOffered(digestFunction, context);
    expect(await findMissing([blobOf(Buffer.alloc(0)).digest])).toEqual([]);
  });

  choice('a blob that is stored by this function is missing by every other', async (context) => {
    await requireOffered(digestFunction, context);
    const blob = fresh();
    await upload(blob);
    for (const [other, hashOf] of functions) {
      if (other === name) continue;
      const digest = { hash: hashOf(blob.data), sizeBytes: blob.digest.sizeBytes };
      const value = DigestFunction_Value[other];
      if ((await offered).cacheCapabilities?.digestFunctions.includes(value) !== true) continue;
      expect(await findMissing([digest], value), other).toEqual([digest]);
    }
  });

  it('a tree is read', async (context) => {
    await requireOffered(digestFunction, context);
    const file = fresh();
    const leaf = blobOf(Directory.encode(Directory.create({ files: [{ name: 'f', digest: file.digest }] })).finish());
    const root = Directory.create({ directories: [{ name: 'd', digest: leaf.digest }] });
    const top = blobOf(Directory.encode(root).finish());
    await upload(leaf, top);
    const request = GetTreeRequest.create({ instanceName, rootDigest: top.digest, digestFunction });
    const pages = await client.collect(cas.getTree, request);
    const read = pages.flatMap((each) => each.directories).map((each) => Directory.encode(each).finish());
    expect(read.map((each) => blobOf(each).digest.hash).sort()).toEqual([leaf.digest.hash, top.digest.hash].sort());
  });

  it('a result is cached, and is a miss without its blobs', async (context) => {
    await requireOffered(digestFunction, context);
    const [action, output, lost] = [fresh(), fresh(), fresh()];
    await upload(output);
    const put = (file: Blob) =>
      client.unary(
        ActionCacheService.updateActionResult,
        UpdateActionResultRequest.create({
          instanceName,
          actionDigest: action.digest,
          digestFunction,
          actionResult: ActionResult.create({ outputFiles: [{ path: 'out', digest: file.digest }] }),
        }),
      );
    const get = GetActionResultRequest.create({ instanceName, actionDigest: action.digest, digestFunction });
    expect((await failure(client.unary(ActionCacheService.getActionResult, get))).code).toBe('NOT_FOUND');
    expect((await failure(put(lost))).code).toBe('FAILED_PRECONDITION');
    await put(output);
    const result = await client.unary(ActionCacheService.getActionResult, get);
    expect(result.outputFiles[0]?.digest).toEqual(output.digest);
  });

  it('the chunks of a blob, and a blob of chunks, have its function', async (context) => {
    await requireOffered(digestFunction, context);
    const cache = (await offered).cacheCapabilities;
    if (cache?.splitBlobSupport !== true || !cache.spliceBlobSupport) context.skip();
    const chunks = [fresh(), fresh()];
    await upload(...chunks);
    const chunkDigests = chunks.map((each) => each.digest);
    const whole = blobOf(Buffer.concat(chunks.map((each) => each.data)));
    const splice = SpliceBlobRequest.create({ instanceName, blobDigest: whole.digest, chunkDigests, digestFunction });
    expect((await client.unary(cas.spliceBlob, splice)).blobDigest).toEqual(whole.digest);
    const split = SplitBlobRequest.create({ instanceName, blobDigest: whole.digest, digestFunction });
    const parts = (await client.unary(cas.splitBlob, split)).chunkDigests;
    const request = BatchReadBlobsRequest.create({ instanceName, digests: parts, digestFunction });
    const { responses } = await client.unary(cas.batchReadBlobs, request);
    expect(responses.map((each) => blobOf(each.data).digest)).toEqual(parts);
    expect(Buffer.concat(responses.map((each) => each.data))).toEqual(whole.data);
  });

  it('what an action lacks is named as its function wants it', async (context) => {
    await requireOffered(digestFunction, context);
    if ((await offered).executionCapabilities?.digestFunctions.includes(digestFunction) !== true) context.skip();
    const { digest } = fresh();
    const error = await failure(tenant.execute(digest, { digestFunction }).finish());
    expect(error.code).toBe('FAILED_PRECONDITION');
    expect(error.violations).toEqual([`MISSING blobs/${segment}${digest.hash}/${digest.sizeBytes}`]);
  });

  it('an action is executed, and its bot is told the function', async (context) => {
    await requireOffered(digestFunction, context);
    if ((await offered).executionCapabilities?.digestFunctions.includes(digestFunction) !== true) context.skip();
    const platform = new Platform(tenant);
    const [key, value] = platform.property;
    const inputRoot = blobOf(Buffer.alloc(0));
    const command = blobOf(Command.encode(Command.create({ arguments: ['/bin/true', randomUUID()] })).finish());
    const action = blobOf(
      Action.encode(
        Action.create({
          commandDigest: command.digest,
          inputRootDigest: inputRoot.digest,
          platform: { properties: [{ name: key, value }] },
        }),
      ).finish(),
    );
    await upload(command, action);
    const bot = platform.bot();
    const execution = tenant.execute(action.digest, { digestFunction });
    const { metadata } = await execution.until(2);
    expect(metadata.digestFunction).toBe(digestFunction);
    await bot.create();
    const { response, trailers } = await bot.updateWithTrailers([], {}, { deadline: 10_000 });
    const [encoded] = trailers.get('executeoperationmetadata-bin');
    const told = ExecuteOperationMetadata.decode(encoded as Buffer);
    expect(told.digestFunction).toBe(digestFunction);
    expect(told.actionDigest).toEqual(action.digest);
    const [lease] = response.leases;
    expect(lease).toBeDefined();
    if (lease === undefined) return;
    await Promise.all([bot.complete(lease, { exitCode: 0 }), execution.finish()]);
    expect(execution.updates.at(-1)?.response?.result?.exitCode).toBe(0);
  });
});
