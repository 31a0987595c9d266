import { EventEmitter } from 'node:events';
import { readFile } from 'node:fs/promises';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type ServerDuplexStream, type ServiceDefinition, status } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import type { Logger } from '../lib/log.ts';
import type { RpcServer } from './rpc-server.ts';

/** Every message and service that we speak, compiled; `./dev generate` makes it. The same from src/ and from dist/. */
const DESCRIPTOR_SET = new URL('../../protos/descriptor-set.binpb', import.meta.url);

/** Clients of both ages are about. */
const VERSIONS = ['v1', 'v1alpha'] as const;

/** What the library's handler uses of a call: its messages and its end. */
interface ReflectionStream extends EventEmitter {
  write(response: unknown): void;
  end(): void;
}

/** The one method of a reflection service, as the library would have served it. */
interface ReflectionMethod {
  deserialize(encoded: Buffer): unknown;
  serialize(response: unknown): Buffer;
  handle(stream: ReflectionStream): void;
}

/** @public for tests. */
export type RawCall = ServerDuplexStream<Buffer, Buffer>;

/**
 * Serves gRPC reflection (v1 and v1alpha), so that grpcurl and its like can call us without our .proto files.
 *
 * The library that answers is loaded with the first such call: loading and indexing every description takes half a
 * second of CPU, which would otherwise be taken from the first build of each server.
 *
 * @param services full names of the services to show.
 */
export function addReflection(server: RpcServer, services: readonly string[], logger: Logger): void {
  let loading: Promise<ReadonlyMap<string, ReflectionMethod>> | undefined;
  for (const version of VERSIONS) {
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    const definition = { ServerReflectionInfo: { path, requestStream: true, responseStream: true, ...RAW } };
    server.grpcServer.addService(definition, {
      ServerReflectionInfo(call: RawCall) {
        loading ??= loadMethods(services);
        loading.then(
          (methods) => relay(call, methods.get(path) as ReflectionMethod),
          (cause: unknown) => {
            loading = undefined;
            logger.warn({ err: cause }, 'reflection cannot be served');
            call.destroy(Object.assign(new Error('reflection cannot be served'), { code: status.INTERNAL }));
          },
        );
      },
    });
  }
}

const same = (bytes: Buffer) => bytes;
const RAW = { requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same };

/** The library's own services, taken from it where it would add them to a server. */
async function loadMethods(services: readonly string[]): Promise<ReadonlyMap<string, ReflectionMethod>> {
  const [{ ReflectionService }, encoded] = await Promise.all([import('@grpc/reflection'), readFile(DESCRIPTOR_SET)]);
  const methods = new Map<string, ReflectionMethod>();
  const collector = {
    addService(definition: ServiceDefinition, implementation: Readonly<Record<string, unknown>>) {
      for (const [name, { path, requestDeserialize, responseSerialize }] of Object.entries(definition)) {
        const handle = implementation[name] as ReflectionMethod['handle'];
        methods.set(path, { deserialize: requestDeserialize, serialize: responseSerialize, handle });
      }
    },
  };
  // File by file as they were compiled: the loader would put those of one package together under the name of one, and
  // lose what they import, so that no client could resolve a type of another file.
  const files = { fileDescriptorProtos: filesOf(encoded) };
  // The library looks at no more of a definition than its files.
  const definitions = { files } as unknown as PackageDefinition;
  new ReflectionService(definitions, { services: [...services] }).addToServer(collector);
  return methods;
}

/** The encoded files of a FileDescriptorSet, whose only field they are. */
function filesOf(encoded: Buffer): Buffer[] {
  const reader = new BinaryReader(encoded);
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) files.push(Buffer.from(reader.bytes()));
    else reader.skip(wireType);
  }
  return files;
}

/**
 * Answers of a hundred kilobytes follow requests of a few bytes: a client that does not read them must not be answered on.
 *
 * @public for tests.
 */
export function relay(call: RawCall, method: ReflectionMethod): void {
  let isFull = false;
  const stream = Object.assign(new EventEmitter(), {
    write(response: unknown) {
      const hasRoom = call.write(method.serialize(response));
      if (hasRoom || isFull) return;
      isFull = true;
      call.pause();
      call.once('drain', () => {
        isFull = false;
        call.resume();
      });
    },
    end: () => call.end(),
  });
  method.handle(stream);
  call.on('data', (encoded: Buffer) => {
    try {
      stream.emit('data', method.deserialize(encoded));
    } catch {
      call.destroy(
        Object.assign(new Error('the request is not an encoded message'), { code: status.INVALID_ARGUMENT }),
      );
    }
  });
  call.on('end', () => stream.emit('end'));
}
