import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Client, credentials, type MethodDefinition } from '@grpc/grpc-js';
import { describe, expect, inject, it } from 'vitest';
import { HealthListRequest, HealthService } from '../../src/proto/grpc/health/v1/health.ts';
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
const SERVICE_UNKNOWN = 3;

const SERVICES = [
  'build.bazel.remote.execution.v2.ActionCache',
  'build.bazel.remote.execution.v2.Capabilities',
  'build.bazel.remote.execution.v2.ContentAddressableStorage',
  'build.bazel.remote.execution.v2.Execution',
  'google.bytestream.ByteStream',
  'google.devtools.remoteworkers.v1test2.Bots',
  'google.longrunning.Operations',
];

describe('grpc.health.v1.Health', () => {
  it('Check of the whole server gives SERVING', async () => {
    expect(await client.unary(check, '')).toBe(SERVING);
  });

  choice('Check of each service gives SERVING', async () => {
    for (const service of SERVICES) {
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

  it('Watch of an unknown service gives SERVICE_UNKNOWN and goes on', async () => {
    const watch = { ...check, path: '/grpc.health.v1.Health/Watch', responseStream: true };
    const stream = client.serverStream(watch, 'no.such.Service');
    const iterator = stream[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toBe(SERVICE_UNKNOWN);
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    iterator.next().then(over, over);
    await client.unary(check, '');
    expect(isOver).toBe(false);
    stream.cancel();
  });

  choice('List gives the status of the whole server and of each service', async () => {
    const { statuses } = await client.unary(HealthService.list, HealthListRequest.create({}));
    for (const service of ['', ...SERVICES]) expect(statuses[service]?.status, service).toBe(SERVING);
  });
});

/** Fields of a request: what is asked for. */
const FILE_BY_FILENAME = 3;
const FILE_CONTAINING_SYMBOL = 4;
const ALL_EXTENSION_NUMBERS = 6;
const LIST_SERVICES = 7;

/** Fields of an answer. */
const ORIGINAL_REQUEST = 2;
const FILE_DESCRIPTOR_RESPONSE = 4;
const EXTENSION_NUMBERS_RESPONSE = 5;
const LIST_SERVICES_RESPONSE = 6;
const ERROR_RESPONSE = 7;

/** grpc.StatusCode. */
const NOT_FOUND = 5;

describe('grpc.reflection.v1.ServerReflection', () => {
  for (const version of ['v1', 'v1alpha']) {
    choice(`${version} lists the services of this server`, async () => {
      const answer = await reflect(version, LIST_SERVICES, '*');
      const services = fieldsOf(answer, LIST_SERVICES_RESPONSE).flatMap((list) => fieldsOf(list, 1));
      const names = services.flatMap((service) => fieldsOf(service, 1).map((name) => name.toString()));
      expect(names).toEqual(expect.arrayContaining(SERVICES));
    });

    choice(`${version} repeats the request in its answer`, async () => {
      const answer = await reflect(version, FILE_CONTAINING_SYMBOL, 'google.bytestream.ByteStream');
      const [request] = fieldsOf(answer, ORIGINAL_REQUEST);
      const [symbol] = fieldsOf(request ?? Buffer.alloc(0), FILE_CONTAINING_SYMBOL);
      expect(symbol?.toString()).toBe('google.bytestream.ByteStream');
    });

    choice(`${version} tells the numbers of the extensions of a type, or that it does not`, async () => {
      const type = 'google.bytestream.ReadRequest';
      const answer = await reflect(version, ALL_EXTENSION_NUMBERS, type);
      const [numbers] = fieldsOf(answer, EXTENSION_NUMBERS_RESPONSE);
      const [error] = fieldsOf(answer, ERROR_RESPONSE);
      const name = numbers === undefined ? undefined : fieldsOf(numbers, 1)[0]?.toString();
      expect(error === undefined ? name : type).toBe(type);
    });

    choice(`${version} gives the file of each service, and every file that it stands on by its name`, async () => {
      const known = new Set<string>();
      const wanted: string[] = [];
      const take = (answer: Buffer): string[] => {
        const files = fieldsOf(answer, FILE_DESCRIPTOR_RESPONSE).flatMap((response) => fieldsOf(response, 1));
        // In a FileDescriptorProto 1 is the name and 3 are the dependencies.
        for (const file of files) wanted.push(...fieldsOf(file, 3).map((name) => name.toString()));
        return files.flatMap((file) => fieldsOf(file, 1).map((name) => name.toString()));
      };
      for (const service of SERVICES) {
        const names = take(await reflect(version, FILE_CONTAINING_SYMBOL, service));
        expect(names, service).not.toEqual([]);
        for (const name of names) known.add(name);
      }
      for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
        if (known.has(name)) continue;
        expect(take(await reflect(version, FILE_BY_FILENAME, name)), name).toContain(name);
        known.add(name);
      }
      expect([...known]).toContain('google/rpc/status.proto');
    });

    choice(`${version} answers NOT_FOUND for a symbol or file that does not exist`, async () => {
      for (const field of [FILE_CONTAINING_SYMBOL, FILE_BY_FILENAME]) {
        const [error] = fieldsOf(await reflect(version, field, 'no.such.Thing'), ERROR_RESPONSE);
        expect(new BinaryReader(error ?? Buffer.alloc(0)).tag()).toEqual([1, 0]);
        const reader = new BinaryReader(error ?? Buffer.alloc(0));
        reader.tag();
        expect(reader.int32()).toBe(NOT_FOUND);
      }
    });
  }
});

/** One request of one string, and the message that answers it. */
function reflect(version: string, field: number, text: string): Promise<Buffer> {
  const [address] = inject('target').addresses;
  const channel = new Client(address as string, credentials.createInsecure());
  return new Promise<Buffer>((resolve, reject) => {
    const call = channel.makeBidiStreamRequest(
      `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      () => Buffer.from(new BinaryWriter().tag(field, WireType.LengthDelimited).string(text).finish()),
      (message: Buffer) => message,
      { deadline: Date.now() + 10_000 },
    );
    call.on('data', (message: Buffer) => {
      resolve(message);
      call.end();
    });
    call.on('error', reject);
    call.write({});
  }).finally(() => channel.close());
}

/** Every length-delimited field of this number. */
function fieldsOf(message: Buffer, wanted: number): Buffer[] {
  const found: Buffer[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted && wireType === WireType.LengthDelimited) found.push(Buffer.from(reader.bytes()));
    else reader.skip(wireType);
  }
  return found;
}
