import { type AddressInfo, createServer, type Socket } from 'node:net';
import {
  status as GrpcStatus,
  Metadata,
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type StatusObject,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from 'vitest';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import { SystemClock } from '../../lib/clock.ts';
import { Deferred } from '../../lib/deferred.ts';
import { RequestMetadata } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { ReadRequest, ReadResponse, WriteRequest } from '../../proto/google/bytestream/bytestream.ts';
import { Status } from '../../proto/google/rpc/status.ts';
import { FastByteStreamService } from '../../wire/byte-stream-codec.ts';
import { REQUEST_METADATA_HEADER } from '../../wire/request-metadata.ts';
import { statusToWire } from '../../wire/status.ts';
import { parseEndpoint } from './endpoint.ts';
import { GrpcChannel, type GrpcChannelOptions } from './grpc-channel.ts';

const { read, write, queryWriteStatus } = FastByteStreamService;
const never = new AbortController().signal;
const cleanups: Array<() => void> = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** A ByteStream server whose calls are as given, and a channel to it. */
async function connect(
  implementation: UntypedServiceImplementation,
  options: Partial<GrpcChannelOptions> = {},
): Promise<GrpcChannel> {
  const server = new Server();
  const unused = () => {};
  server.addService(FastByteStreamService, {
    read: unused,
    write: unused,
    queryWriteStatus: unused,
    ...implementation,
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  const channel = new GrpcChannel({
    endpoint: parseEndpoint(`127.0.0.1:${port}`),
    clock: new SystemClock(),
    ...options,
  });
  cleanups.push(
    () => server.forceShutdown(),
    () => channel.close(),
  );
  return channel;
}

/** A machine whose power fails between the TCP connection and the first word of its server. */
async function listenInSilence() {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => {});
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { port, connections: () => connections };
}

function writeRequest(data: string): WriteRequest {
  return { resourceName: 'x', writeOffset: 0n, finishWrite: false, data: Buffer.from(data) };
}

describe('unary', () => {
  test('gives the answer', async () => {
    const channel = await connect({
      queryWriteStatus: (call: { request: { resourceName: string } }, done: (e: null, r: unknown) => void) =>
        done(null, { committedSize: BigInt(call.request.resourceName.length), complete: true }),
    });
    await expect(channel.unary(queryWriteStatus, { resourceName: 'four' }, {}, never)).resolves.toEqual({
      committedSize: 4n,
      complete: true,
    });
  });

  test('throws a StatusError with the details that the server sent', async () => {
    const error = new StatusError(StatusCode.FAILED_PRECONDITION, 'no such blob', {
      details: [{ kind: 'precondition-failure', violations: [{ type: 'MISSING', subject: 's', description: 'd' }] }],
    });
    const channel = await connect({
      queryWriteStatus: (_call: unknown, done: (e: Partial<StatusObject>, r: null) => void) => {
        const metadata = new Metadata();
        metadata.set('grpc-status-details-bin', Buffer.from(Status.encode(statusToWire(error)).finish()));
        done({ code: GrpcStatus.FAILED_PRECONDITION, details: error.message, metadata }, null);
      },
    });
    await expect(channel.unary(queryWriteStatus, { resourceName: '' }, {}, never)).rejects.toMatchObject({
      code: StatusCode.FAILED_PRECONDITION,
      message: 'no such blob',
      details: error.details,
    });
  });

  test('ignores details that belong to another code', async () => {
    const channel = await connect({
      queryWriteStatus: (_call: unknown, done: (e: Partial<StatusObject>, r: null) => void) => {
        const metadata = new Metadata();
        metadata.set(
          'grpc-status-details-bin',
          Buffer.from(Status.encode({ code: 3, message: 'x', details: [] }).finish()),
        );
        done({ code: GrpcStatus.NOT_FOUND, details: 'gone', metadata }, null);
      },
    });
    await expect(channel.unary(queryWriteStatus, { resourceName: '' }, {}, never)).rejects.toMatchObject({
      code: StatusCode.NOT_FOUND,
      message: 'gone',
    });
  });

  test('sends the token, the metadata of the build and the headers of the call', async () => {
    const seen = new Deferred<Metadata>();
    const channel = await connect(
      {
        queryWriteStatus: (call: { metadata: Metadata }, done: (e: null, r: unknown) => void) => {
          seen.resolve(call.metadata);
          done(null, { committedSize: 0n, complete: false });
        },
      },
      { bearerToken: 'secret', requestMetadata: { toolName: 'warren', toolVersion: '1', toolInvocationId: 'i' } },
    );
    await channel.unary(
      queryWriteStatus,
      { resourceName: '' },
      { headers: { 'x-a': 'b', 'y-bin': Buffer.of(7) } },
      never,
    );
    const metadata = await seen.promise;
    expect(metadata.get('authorization')).toEqual(['Bearer secret']);
    expect(metadata.get('x-a')).toEqual(['b']);
    expect(metadata.get('y-bin')).toEqual([Buffer.of(7)]);
    expect(RequestMetadata.decode(metadata.get(REQUEST_METADATA_HEADER)[0] as Buffer)).toMatchObject({
      toolDetails: { toolName: 'warren', toolVersion: '1' },
      toolInvocationId: 'i',
    });
  });

  test('cancels the call on the server when the signal is aborted, and throws its reason', async () => {
    const [arrived, cancelled] = [new Deferred<void>(), new Deferred<void>()];
    const channel = await connect({
      queryWriteStatus: (call: { on(event: string, listener: () => void): void }) => {
        call.on('cancelled', () => cancelled.resolve());
        arrived.resolve();
      },
    });
    const controller = new AbortController();
    const answer = channel.unary(queryWriteStatus, { resourceName: '' }, {}, controller.signal);
    await arrived.promise;
    controller.abort('enough');
    await expect(answer).rejects.toBe('enough');
    await cancelled.promise;
  });

  test('fails with DEADLINE_EXCEEDED when time is up', async () => {
    const channel = await connect({});
    await expect(
      channel.unary(queryWriteStatus, { resourceName: '' }, { deadlineMilliseconds: 20 }, never),
    ).rejects.toMatchObject({ code: StatusCode.DEADLINE_EXCEEDED });
  });

  test('fails with UNAVAILABLE where nobody listens', async () => {
    const channel = new GrpcChannel({ endpoint: parseEndpoint('127.0.0.1:1'), clock: new SystemClock() });
    cleanups.push(() => channel.close());
    await expect(channel.unary(queryWriteStatus, { resourceName: '' }, {}, never)).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
    });
  });

  test('fails with UNAVAILABLE once the channel is closed', async () => {
    const channel = await connect({});
    channel.close();
    await expect(channel.unary(queryWriteStatus, { resourceName: '' }, {}, never)).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
    });
  });

  test('hands over the trailers', async () => {
    const channel = await connect({
      queryWriteStatus: (_call: unknown, done: (e: null, r: unknown, trailer: Metadata) => void) => {
        const trailer = new Metadata();
        trailer.set('x-end', 'yes');
        done(null, { committedSize: 0n, complete: false }, trailer);
      },
    });
    let trailers: Metadata | undefined;
    await channel.unary(queryWriteStatus, { resourceName: '' }, { onTrailers: (each) => (trailers = each) }, never);
    expect(trailers?.get('x-end')).toEqual(['yes']);
  });
});

describe('a server that takes a connection and never says a word', () => {
  test('costs a call no more than the time for connecting, and the next call tries another connection', async () => {
    const { port, connections } = await listenInSilence();
    const channel = new GrpcChannel({
      endpoint: parseEndpoint(`127.0.0.1:${port}`),
      clock: new SystemClock(),
      connectTimeoutMilliseconds: 200,
    });
    cleanups.push(() => channel.close());
    const refused = { code: StatusCode.UNAVAILABLE };
    await expect(channel.unary(queryWriteStatus, { resourceName: '' }, {}, never)).rejects.toMatchObject(refused);
    await expect(channel.unary(queryWriteStatus, { resourceName: '' }, {}, never)).rejects.toMatchObject(refused);
    expect(connections()).toBe(2);
  });
});

describe('serverStream', () => {
  const request: ReadRequest = { resourceName: 'x', readOffset: 0n, readLimit: 0n };

  test('gives every message in order', async () => {
    const channel = await connect({
      read: (call: ServerWritableStream<ReadRequest, ReadResponse>) => {
        for (let i = 0; i < 100; i++) call.write({ data: Buffer.from(`${i};`) });
        call.end();
      },
    });
    let text = '';
    for await (const { data } of channel.serverStream(read, request, {}, never)) text += data.toString();
    expect(text).toBe(Array.from({ length: 100 }, (_, i) => `${i};`).join(''));
  });

  test('throws the failure after the messages that came before it', async () => {
    const channel = await connect({
      read: (call: ServerWritableStream<ReadRequest, ReadResponse>) => {
        call.write({ data: Buffer.from('first') });
        call.emit('error', { code: StatusCode.DATA_LOSS, details: 'torn' });
      },
    });
    const stream = channel.serverStream(read, request, {}, never);
    await expect(stream.next()).resolves.toMatchObject({ done: false });
    await expect(stream.next()).rejects.toMatchObject({ code: StatusCode.DATA_LOSS, message: 'torn' });
  });

  test('cancels the call when the consumer leaves', async () => {
    const cancelled = new Deferred<void>();
    const channel = await connect({
      read: (call: ServerWritableStream<ReadRequest, ReadResponse>) => {
        call.on('cancelled', () => cancelled.resolve());
        call.write({ data: Buffer.from('first') });
      },
    });
    for await (const { data } of channel.serverStream(read, request, {}, never)) {
      expect(data.toString()).toBe('first');
      break;
    }
    await cancelled.promise;
  });

  test('throws the reason of a signal that is aborted while it waits', async () => {
    const arrived = new Deferred<void>();
    const channel = await connect({ read: () => arrived.resolve() });
    const controller = new AbortController();
    const next = channel.serverStream(read, request, {}, controller.signal).next();
    await arrived.promise;
    controller.abort('enough');
    await expect(next).rejects.toBe('enough');
  });

  test('lets the server send no more than the windows while nobody pulls', async () => {
    let sent = 0;
    const blocked = new Deferred<void>();
    const channel = await connect(
      {
        read: (call: ServerWritableStream<ReadRequest, ReadResponse>) => {
          const fill = () => {
            while (sent < 64 << 20) {
              sent += 1 << 20;
              if (!call.write({ data: Buffer.alloc(1 << 20) })) {
                blocked.resolve();
                call.once('drain', fill);
                return;
              }
            }
            call.end();
          };
          fill();
        },
      },
      { flowControlWindow: 1 << 20 },
    );
    const stream = channel.serverStream(read, request, {}, never);
    let received = (await stream.next()).value?.data.byteLength ?? 0;
    await blocked.promise;
    expect(sent).toBeLessThan(32 << 20);
    for await (const { data } of stream) received += data.byteLength;
    expect(received).toBe(64 << 20);
  });
});

describe('clientStream', () => {
  type Reading = { on(event: string, listener: (message: WriteRequest) => void): void };

  test('sends every message and gives the answer', async () => {
    const channel = await connect({
      write: (call: Reading, done: (e: null, r: unknown) => void) => {
        let size = 0;
        call.on('data', ({ data }) => (size += data.byteLength));
        call.on('end', () => done(null, { committedSize: BigInt(size) }));
      },
    });
    const requests = async function* () {
      for (let i = 0; i < 20; i++) yield { ...writeRequest(''), data: Buffer.alloc(1 << 20) };
    };
    await expect(channel.clientStream(write, requests(), {}, never)).resolves.toEqual({ committedSize: 20n << 20n });
  });

  test('takes an early answer and asks for no more messages', async () => {
    const channel = await connect({
      write: (_call: Reading, done: (e: null, r: unknown) => void) => done(null, { committedSize: 5n }),
    });
    let returned = false;
    const requests = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<IteratorResult<WriteRequest>>(() => {}),
        return: () => {
          returned = true;
          return Promise.resolve({ done: true as const, value: undefined });
        },
      }),
    };
    await expect(channel.clientStream(write, requests, {}, never)).resolves.toEqual({ committedSize: 5n });
    await Promise.resolve();
    expect(returned).toBe(true);
  });

  test('throws what the source throws, and cancels the call', async () => {
    const [arrived, cancelled] = [new Deferred<void>(), new Deferred<void>()];
    const channel = await connect({
      write: (call: Reading) => {
        call.on('cancelled', () => cancelled.resolve());
        call.on('data', () => arrived.resolve());
      },
    });
    const requests = async function* () {
      yield writeRequest('a');
      await arrived.promise;
      throw new RangeError('the disk is gone');
    };
    await expect(channel.clientStream(write, requests(), {}, never)).rejects.toThrow(RangeError);
    await cancelled.promise;
  });

  test('asks the source for one message at a time, as the server takes them', async () => {
    let pulled = 0;
    const arrived = new Deferred<void>();
    const channel = await connect({
      write: (call: { pause(): void }) => {
        call.pause();
        arrived.resolve();
      },
    });
    const requests = async function* () {
      for (; pulled < 1_000; pulled++) yield { ...writeRequest(''), data: Buffer.alloc(1 << 20) };
    };
    const controller = new AbortController();
    const answer = channel.clientStream(write, requests(), {}, controller.signal);
    await arrived.promise;
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
    controller.abort('enough');
    await expect(answer).rejects.toBe('enough');
    expect(pulled).toBeLessThan(50);
  });
});

describe('connections', () => {
  test('are used evenly', async () => {
    const peers = new Set<string>();
    const channel = await connect(
      {
        queryWriteStatus: (call: { getPeer(): string }, done: (e: null, r: unknown) => void) => {
          peers.add(call.getPeer());
          setImmediate(() => done(null, { committedSize: 0n, complete: false }));
        },
      },
      { connections: 3 },
    );
    await Promise.all(
      Array.from({ length: 9 }, () => channel.unary(queryWriteStatus, { resourceName: '' }, {}, never)),
    );
    expect(peers.size).toBe(3);
  });
});
