import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openBlobStore } from '../../src/compose/blob-storage.ts';
import { blobStoreSchema } from '../../src/config/blob-storage-schema.ts';
import { digestOf } from '../../src/domain/digest.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { SequentialIdGenerator } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/log.ts';
import {
  ContentAddressableStorageService,
  type FindMissingBlobsRequest,
  type FindMissingBlobsResponse,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { SelfSignedCertificate } from '../support/certificates.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** A store on a server that asks for TLS, a client's certificate and a token, from configuration. */

const signal = new AbortController().signal;
let folder: string;
let server: Server;
let port: number;
const tokens: string[] = [];
const NAMES = ['server', 'client', 'stranger'] as const;
type Name = (typeof NAMES)[number];
const certificates: Partial<Record<Name, SelfSignedCertificate>> = {};

function of(name: Name): SelfSignedCertificate {
  const certificate = certificates[name];
  if (certificate === undefined) throw new Error(`there is no certificate of the ${name}`);
  return certificate;
}

beforeAll(async () => {
  folder = await temporaryFolder('tls');
  for (const name of NAMES) certificates[name] = await SelfSignedCertificate.create();
  await writeFile(join(folder, 'token'), 'the-token\n');
  server = new Server();
  const findMissing: handleUnaryCall<FindMissingBlobsRequest, FindMissingBlobsResponse> = (call, callback) => {
    tokens.push(...call.metadata.get('authorization').map(String));
    callback(null, { missingBlobDigests: [] });
  };
  server.addService(
    { findMissingBlobs: ContentAddressableStorageService.findMissingBlobs },
    { findMissingBlobs: findMissing },
  );
  const pair = {
    private_key: await readFile(of('server').privateKeyFile),
    cert_chain: await readFile(of('server').certificateFile),
  };
  const credentials = ServerCredentials.createSsl(await readFile(of('client').certificateFile), [pair], true);
  port = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
});
afterAll(async () => {
  server.forceShutdown();
  for (const each of Object.values(certificates)) await each[Symbol.asyncDispose]();
  await removeFolder(folder);
});

/** Asks the server once, with the certificates of these names. */
async function ask(trusted: Name, shown: Name | undefined): Promise<unknown> {
  const { certificateFile, privateKeyFile } = of(shown ?? 'client');
  const identity = shown === undefined ? {} : { certificateFile, privateKeyFile };
  const configuration = blobStoreSchema.parse({
    kind: 'remote',
    endpoint: `grpcs://localhost:${port}`,
    tls: { authoritiesFile: of(trusted).certificateFile, ...identity },
    tokenFile: join(folder, 'token'),
  });
  const dependencies = {
    clock: new SystemClock(),
    ids: new SequentialIdGenerator(),
    logger: silentLogger,
    random: () => 0,
  };
  const store = await openBlobStore(configuration, ['blobs'], dependencies, signal);
  try {
    return await store.blobs.findMissing([digestOf(Buffer.from('it'))], signal);
  } finally {
    await store.close(signal);
  }
}

describe('a remote store over TLS', () => {
  it('shows its certificate and sends its token', async () => {
    expect(await ask('server', 'client')).toEqual([]);
    expect(tokens).toEqual(['Bearer the-token']);
  });

  it.each([
    ['the server is not who it says', 'stranger', 'client'],
    ['the server does not know its certificate', 'server', 'stranger'],
    ['it has no certificate', 'server', undefined],
  ] as const)('sends nothing where %s', async (_what, trusted, shown) => {
    const before = tokens.length;
    await expect(ask(trusted, shown)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    expect(tokens).toHaveLength(before);
  });
});
