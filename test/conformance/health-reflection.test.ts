import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js';
import { describe, expect, inject, it } from 'vitest';
import { failure } from '../support/wire-client.ts';
import { choice, connect } from './target.ts';

const { client } = connect();

/** grpc.health.v1.Health, by hand: a request of one string, an answer of one enum. */
const check: MethodDefinition<string, number> & Record<'path', string> = {
  path: '/grpc.health.v1.Health/Check',
  requestStream: false,
  responseStream: false,
  requestSerialize: (service) => Buffer.from(new BinaryWriter().uint32(10).string(service).finish()),
  requestDeserialize: () => '',
  responseSerialize: () => Buffer.alloc(0),
  responseDeserialize: readStatus,
};

function readStatus(message: Buffer): number {
  const reader = new BinaryReader(message);
  let status = 0;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) status = reader.int32();
    else reader.skip(wireType);
  }
  return status;
}

const SERVING = 1;

describe('grpc.health.v1.Health', () => {
  it('Check of the whole server gives SERVING', async () => {
    expect(await client.unary(check, '')).toBe(SERVING);
  });

  choice('Check of each service gives SERVING', async () => {
    for (const service of [
      'build.bazel.remote.execution.v2.Execution',
      'build.bazel.remote.execution.v2.ContentAddressableStorage',
      'build.bazel.remote.execution.v2.ActionCache',
      'build.bazel.remote.execution.v2.Capabilities',
      'google.bytestream.ByteStream',
      'google.longrunning.Operations',
      'google.devtools.remoteworkers.v1test2.Bots',
    ]) {
      expect(await client.unary(check, service), service).toBe(SERVING);
    }
  });

  it('Check of an unknown service gives NOT_FOUND', async () => {
    expect((await failure(client.unary(check, 'no.such.Service'))).code).toBe('NOT_FOUND');
  });

  it('Watch gives the present status at once', async () => {
    const watch = { ...check, path: '/grpc.health.v1.Health/Watch', responseStream: true };
    const stream = client.serverStream(watch, '');
    const first = await stream[Symbol.asyncIterator]().next();
    stream.cancel();
    expect(first.value).toBe(SERVING);
  });
});

describe('grpc.reflection.v1.ServerReflection', () => {
  for (const version of ['v1', 'v1alpha']) {
    choice(`${version} lists the services of this server`, async () => {
      expect(await listServices(version)).toEqual(
        expect.arrayContaining([
          'build.bazel.remote.execution.v2.ActionCache',
          'build.bazel.remote.execution.v2.Capabilities',
          'build.bazel.remote.execution.v2.ContentAddressableStorage',
          'build.bazel.remote.execution.v2.Execution',
          'google.bytestream.ByteStream',
          'google.devtools.remoteworkers.v1test2.Bots',
          'google.longrunning.Operations',
        ]),
      );
    });
  }
});

/** list_services is field 7 of the request; the answer's field 6 repeats messages whose field 1 is the name. */
function listServices(version: string): Promise<string[]> {
  const [address] = inject('target').addresses;
  const channel = new Client(address as string, credentials.createInsecure());
  return new Promise<string[]>((resolve, reject) => {
    const call = channel.makeBidiStreamRequest(
      `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      () => Buffer.from(new BinaryWriter().uint32(58).string('*').finish()),
      (message: Buffer) => readServices(message),
      { deadline: Date.now() + 10_000 },
    );
    call.on('data', (names: string[]) => {
      resolve(names);
      call.end();
    });
    call.on('error', reject);
    call.write({});
  }).finally(() => channel.close());
}

function readServices(message: Buffer): string[] {
  return fieldsOf(message, 6).flatMap((list) =>
    fieldsOf(list, 1).flatMap((service) => fieldsOf(service, 1).map((name) => name.toString())),
  );
}

/** Every length-delimited field of this number. */
function fieldsOf(message: Buffer, wanted: number): Buffer[] {
  const found: Buffer[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted) found.push(Buffer.from(reader.bytes()));
    else reader.skip(wireType);
  }
  return found;
}
