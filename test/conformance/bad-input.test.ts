import { randomUUID } from 'node:crypto';
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js';
import { describe, expect, inject, it } from 'vitest';
import {
  ActionCacheService,
  BatchReadBlobsRequest,
  BatchUpdateBlobsRequest,
  CapabilitiesService,
  ContentAddressableStorageService,
  type Digest,
  ExecutionService,
  FindMissingBlobsRequest,
  GetActionResultRequest,
  GetCapabilitiesRequest,
  GetTreeRequest,
  UpdateActionResultRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ByteStreamService } from '../../src/proto/google/bytestream/bytestream.ts';
import { BotsService, CreateBotSessionRequest } from '../../src/proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { ListOperationsRequest, OperationsService } from '../../src/proto/google/longrunning/operations.ts';
import { freshBlob, randomBlob } from '../support/tenant.ts';
import { describeStatus, failure } from '../support/wire-client.ts';
import { connect, expectNamed, Platform } from './target.ts';

const tenant = connect();
const { client, instanceName } = tenant;
const HASH = 'ab'.repeat(32);

/** Digests that cannot be, with the field that is to blame. */
const BAD_DIGESTS: ReadonlyArray<readonly [what: string, digest: Digest, field: string]> = [
  ['an empty hash', { hash: '', sizeBytes: 1n }, 'hash'],
  ['a short hash', { hash: HASH.slice(1), sizeBytes: 1n }, 'hash'],
  ['a long hash', { hash: `${HASH}0`, sizeBytes: 1n }, 'hash'],
  ['a hash in upper case', { hash: HASH.toUpperCase(), sizeBytes: 1n }, 'hash'],
  ['a hash that is not hexadecimal', { hash: `${HASH.slice(2)}zz`, sizeBytes: 1n }, 'hash'],
  ['a path for a hash', { hash: `../${HASH.slice(3)}`, sizeBytes: 1n }, 'hash'],
  ['a hash with a NUL', { hash: `${HASH.slice(1)}\u0000`, sizeBytes: 1n }, 'hash'],
  ['a negative size', { hash: HASH, sizeBytes: -1n }, 'size_bytes'],
  ['the greatest size of int64', { hash: HASH, sizeBytes: 2n ** 63n - 1n }, 'size_bytes'],
  ['the least size of int64', { hash: HASH, sizeBytes: -(2n ** 63n) }, 'size_bytes'],
];

describe('a digest that cannot be', () => {
  for (const [what, digest, field] of BAD_DIGESTS) {
    it(`${what}: FindMissingBlobs gives INVALID_ARGUMENT that names the field`, async () => {
      expectNamed(await failure(tenant.findMissing(freshBlob().digest, digest)), `blob_digests[1].${field}`, field);
    });

    it(`${what}: BatchUpdateBlobs gives INVALID_ARGUMENT, for the blob or the call`, async () => {
      const good = freshBlob();
      const request = BatchUpdateBlobsRequest.create({
        instanceName,
        requests: [
          { digest: good.digest, data: good.data },
          { digest, data: Buffer.from('x') },
        ],
      });
      const outcome = await client.unary(ContentAddressableStorageService.batchUpdateBlobs, request).then(
        ({ responses }) => describeStatus(responses[1]?.status),
        (error: unknown) => failure(Promise.reject(error)),
      );
      expectNamed(outcome, field);
    });

    it(`${what}: BatchReadBlobs gives INVALID_ARGUMENT, for the blob or the call`, async () => {
      const request = BatchReadBlobsRequest.create({ instanceName, digests: [digest] });
      const outcome = await client.unary(ContentAddressableStorageService.batchReadBlobs, request).then(
        ({ responses }) => describeStatus(responses[0]?.status),
        (error: unknown) => failure(Promise.reject(error)),
      );
      expectNamed(outcome, field, 'digest');
    });

    it(`${what}: GetTree gives INVALID_ARGUMENT that names the field`, async () => {
      const request = GetTreeRequest.create({ instanceName, rootDigest: digest });
      expectNamed(
        await failure(client.collect(ContentAddressableStorageService.getTree, request)),
        `root_digest.${field}`,
        'digest_function',
      );
    });

    it(`${what}: GetActionResult and UpdateActionResult give INVALID_ARGUMENT that names the field`, async () => {
      const get = GetActionResultRequest.create({ instanceName, actionDigest: digest });
      expectNamed(
        await failure(client.unary(ActionCacheService.getActionResult, get)),
        `action_digest.${field}`,
        'digest_function',
      );
      const update = UpdateActionResultRequest.create({ instanceName, actionDigest: digest, actionResult: {} });
      expectNamed(
        await failure(client.unary(ActionCacheService.updateActionResult, update)),
        `action_digest.${field}`,
        'digest_function',
      );
    });

    it(`${what}: Execute gives INVALID_ARGUMENT that names the field`, async () => {
      expectNamed(await failure(tenant.execute(digest).finish()), `action_digest.${field}`, 'digest_function');
    });

    it(`${what} in an Action: Execute gives INVALID_ARGUMENT that names the field`, async () => {
      const { action } = await tenant.prepare({ action: { commandDigest: digest } });
      expectNamed(await failure(tenant.execute(action.digest).finish()), `command_digest`);
      const { action: other } = await tenant.prepare({ action: { inputRootDigest: digest } });
      expectNamed(await failure(tenant.execute(other.digest).finish()), `input_root_digest`);
    });

    it(`${what} in an ActionResult: UpdateActionResult gives INVALID_ARGUMENT that names the field`, async () => {
      const { action } = await tenant.prepare();
      for (const [name, result] of [
        ['output_files', { outputFiles: [{ path: 'out', digest }] }],
        ['output_directories', { outputDirectories: [{ path: 'out', treeDigest: digest }] }],
        ['stdout_digest', { stdoutDigest: digest }],
        ['stderr_digest', { stderrDigest: digest }],
      ] satisfies Array<[string, Parameters<typeof tenant.updateActionResult>[1]]>) {
        expectNamed(await failure(tenant.updateActionResult(action.digest, result)), name);
      }
      expect((await failure(tenant.getActionResult(action.digest))).code).toBe('NOT_FOUND');
    });
  }
});

describe('a digest function that is not offered', () => {
  for (const digestFunction of [7, 99, -1]) {
    it(`number ${digestFunction} gives INVALID_ARGUMENT that names the field`, async () => {
      const request = FindMissingBlobsRequest.create({
        instanceName,
        blobDigests: [freshBlob().digest],
        digestFunction: digestFunction as never,
      });
      const call = client.unary(ContentAddressableStorageService.findMissingBlobs, request);
      expectNamed(await failure(call), 'digest_function');
    });
  }
});

describe('an instance name that cannot be', () => {
  for (const name of [
    `no-such-${randomUUID()}`,
    '/',
    'a//b',
    '../..',
    'blobs',
    'x/uploads/y',
    'a'.repeat(10_000),
    'a\u0000b',
    'ü',
    '*',
  ]) {
    it(`${JSON.stringify(name).slice(0, 30)}: every service gives INVALID_ARGUMENT that names the field`, async () => {
      const { digest } = freshBlob();
      const calls: ReadonlyArray<readonly [string, () => Promise<unknown>]> = [
        [
          'instance_name',
          () =>
            client.unary(CapabilitiesService.getCapabilities, GetCapabilitiesRequest.create({ instanceName: name })),
        ],
        [
          'instance_name',
          () =>
            client.unary(
              ContentAddressableStorageService.findMissingBlobs,
              FindMissingBlobsRequest.create({ instanceName: name, blobDigests: [digest] }),
            ),
        ],
        ...[
          () =>
            client.unary(
              ContentAddressableStorageService.batchUpdateBlobs,
              BatchUpdateBlobsRequest.create({ instanceName: name }),
            ),
          () =>
            client.unary(
              ContentAddressableStorageService.batchReadBlobs,
              BatchReadBlobsRequest.create({ instanceName: name }),
            ),
          () =>
            client.collect(
              ContentAddressableStorageService.getTree,
              GetTreeRequest.create({ instanceName: name, rootDigest: digest }),
            ),
          () => tenant.getActionResult(digest, { instanceName: name }),
          () =>
            client.unary(
              ActionCacheService.updateActionResult,
              UpdateActionResultRequest.create({ instanceName: name, actionDigest: digest, actionResult: {} }),
            ),
          () => tenant.execute(digest, { instanceName: name }).finish(),
        ].map((call) => ['instance_name', call] as const),
        ['parent', () => new Platform(tenant).bot({ parent: name }).create()],
        [
          'name',
          () => client.unary(OperationsService.listOperations, ListOperationsRequest.create({ name, filter: '' })),
        ],
      ];
      for (const [field, call] of calls) expectNamed(await failure(call()), field);
    });
  }
});

describe('a message that is no message', () => {
  const garbage = Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x01]);
  const methods: ReadonlyArray<readonly [string, MethodDefinition<never, unknown>]> = [
    ['FindMissingBlobs', ContentAddressableStorageService.findMissingBlobs],
    ['BatchUpdateBlobs', ContentAddressableStorageService.batchUpdateBlobs],
    ['GetActionResult', ActionCacheService.getActionResult],
    ['Execute', ExecutionService.execute],
    ['Read', ByteStreamService.read],
    ['Write', ByteStreamService.write],
    ['CreateBotSession', BotsService.createBotSession],
    ['UpdateBotSession', BotsService.updateBotSession],
    ['ListOperations', OperationsService.listOperations],
  ] as unknown as ReadonlyArray<readonly [string, MethodDefinition<never, unknown>]>;
  for (const [what, method] of methods) {
    it(`to ${what} fails that call alone, and not as UNKNOWN`, async () => {
      const raw = { ...method, requestSerialize: () => garbage } as MethodDefinition<never, unknown>;
      let call: Promise<unknown>;
      if (method.requestStream) {
        const stream = client.clientStream(raw);
        await stream.write({} as never);
        stream.end();
        call = stream.result;
      } else if (method.responseStream) call = client.collect(raw, {} as never);
      else call = client.unary(raw, {} as never);
      expect(['INVALID_ARGUMENT', 'INTERNAL']).toContain((await failure(call)).code);
      expect(await tenant.has(freshBlob().digest)).toBe(false);
    });
  }

  it('a method that does not exist gives UNIMPLEMENTED', async () => {
    const method = { ...BotsService.createBotSession, path: '/no.such.Service/Method' };
    const call = client.unary(method, CreateBotSessionRequest.create({}));
    expect((await failure(call)).code).toBe('UNIMPLEMENTED');
  });

  it('a message above the limit gives RESOURCE_EXHAUSTED or INVALID_ARGUMENT, and stores nothing', async () => {
    const blob = randomBlob(20 * 1024 * 1024);
    expect(['RESOURCE_EXHAUSTED', 'INVALID_ARGUMENT']).toContain((await failure(tenant.upload(blob))).code);
    expect(await tenant.has(blob.digest)).toBe(false);
  });

  it('a header of metadata that is garbage does no harm', async () => {
    const request = FindMissingBlobsRequest.create({ instanceName });
    const headers = {
      'build.bazel.remote.execution.v2.requestmetadata-bin': [garbage, Buffer.from([1, 2, 3])],
    };
    await client.unary(ContentAddressableStorageService.findMissingBlobs, request, { headers });
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest, {}, { headers, deadline: 20_000 });
    expect((await execution.next())?.operation.done).toBe(false);
    execution.cancel();
  });

  it('a connection that speaks no HTTP/2 harms no other', async () => {
    const { connect: connectTcp } = await import('node:net');
    const [host, port] = (inject('target').addresses[0] as string).split(':');
    await new Promise<void>((resolve) => {
      const socket = connectTcp(Number(port), host as string, () => socket.write('GET / HTTP/1.1\r\n\r\n'));
      socket.once('close', () => resolve());
      socket.once('error', () => resolve());
      socket.setTimeout(2_000, () => socket.destroy());
      socket.resume();
    });
    expect(await tenant.has(freshBlob().digest)).toBe(false);
  });
});

describe('a client that opens and drops', () => {
  it('a hundred Execute calls that are cancelled at once leave the server serving', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const executions = Array.from({ length: 100 }, () => tenant.execute(action.digest));
    for (const each of executions) each.cancel();
    expect(await tenant.has(action.digest)).toBe(true);
  });

  it('uploads that break off leave nothing that can be found', async () => {
    const blobs = Array.from({ length: 20 }, () => randomBlob(50_000));
    for (const blob of blobs) {
      const stream = client.clientStream(ByteStreamService.write);
      await stream.write({
        resourceName: tenant.writeName(blob.digest),
        writeOffset: 0n,
        finishWrite: false,
        data: blob.data.subarray(0, 25_000),
      });
      stream.cancel();
      await failure(stream.result);
    }
    expect(await tenant.findMissing(...blobs.map((each) => each.digest))).toHaveLength(20);
  });

  it('a channel that closes in mid-call harms no other', async () => {
    const channel = new Client(inject('target').addresses[0] as string, credentials.createInsecure());
    const method = BotsService.createBotSession;
    channel.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      CreateBotSessionRequest.create({ parent: instanceName, botSession: { botId: randomUUID(), status: 1 } }),
      () => {},
    );
    channel.close();
    expect(await tenant.has(freshBlob().digest)).toBe(false);
  });
});
