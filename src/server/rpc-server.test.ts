import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { DelayingProxy } from '../../test/support/delaying-proxy.ts';
import { StatusCode } from '../domain/status-code.ts';
import { notFound, StatusError, unavailable } from '../domain/status-error.ts';
import { SystemClock } from '../lib/clock.ts';
import { Deferred } from '../lib/deferred.ts';
import { type Logger, silentLogger } from '../lib/log.ts';
import type { CallContext } from '../ports/call-context.ts';
import {
  ByteStreamClient,
  type QueryWriteStatusRequest,
  type QueryWriteStatusResponse,
  type ReadRequest,
  type ReadResponse,
  type WriteRequest,
  type WriteResponse,
} from '../proto/google/bytestream/bytestream.ts';
import { FastByteStreamService } from '../wire/byte-stream-codec.ts';
import { decodeStatus, statusFromWire } from '../wire/status.ts';
import type { CallOutcome } from './call-observer.ts';
import { RpcServer, type RpcServerOptions } from './rpc-server.ts';

const OPTIONS: RpcServerOptions = {
  address: '127.0.0.1:0',
  maxReceiveMessageBytes: 1024 * 1024,
  flowControl: { streamWindowBytes: 4 * 1024 * 1024, connectionWindowBytes: 8 * 1024 * 1024 },
  keepaliveTimeMilliseconds: 60_000,
  keepaliveTimeoutMilliseconds: 20_000,
  retryDelayMilliseconds: 250,
};

const NEVER = new AbortController().signal;

interface Methods {
  read(request: ReadRequest, context: CallContext): AsyncIterable<ReadResponse>;
  write(requests: AsyncIterable<WriteRequest>, context: CallContext): Promise<WriteResponse>;
  queryWriteStatus(request: QueryWriteStatusRequest, context: CallContext): Promise<QueryWriteStatusResponse>;
}

const cleanups: Array<() => Promise<void> | void> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function serve(methods: Partial<Methods>, logger: Logger = silentLogger) {
  const outcomes: Array<CallOutcome & { path: string }> = [];
  const ended = new Deferred<void>();
  const server = new RpcServer(OPTIONS, new SystemClock(), logger, {
    callStarted: (path) => (outcome) => {
      outcomes.push({ path, ...outcome });
      ended.resolve();
    },
  });
  server.register(FastByteStreamService, {
    async *read() {
      yield { data: Buffer.alloc(0) };
    },
    write: () => Promise.reject(new StatusError(StatusCode.UNIMPLEMENTED, 'unused')),
    queryWriteStatus: () => Promise.reject(new StatusError(StatusCode.UNIMPLEMENTED, 'unused')),
    ...methods,
  });
  await server.start(NEVER);
  const client = connect(server.port);
  cleanups.push(() => server.stop(AbortSignal.abort()));
  return { server, client, outcomes, ended: ended.promise };
}

function connect(port: number): ByteStreamClient {
  const client = new ByteStreamClient(`127.0.0.1:${port}`, credentials.createInsecure());
  cleanups.push(() => client.close());
  return client;
}

function query(client: ByteStreamClient, resourceName: string, metadata = new Metadata(), options = {}) {
  return new Promise<{ response?: QueryWriteStatusResponse; error?: ServiceError; trailers: Metadata }>((resolve) => {
    let outcome: { response?: QueryWriteStatusResponse; error?: ServiceError } = {};
    const call = client.queryWriteStatus({ resourceName }, metadata, options, (error, response) => {
      outcome = error === null ? { response } : { error };
    });
    call.on('status', (status) => setImmediate(() => resolve({ ...outcome, trailers: status.metadata })));
  });
}

describe('unary calls', () => {
  it('pass request, headers and deadline in, and response and trailers out', async () => {
    const { client } = await serve({
      async queryWriteStatus(request, context) {
        context.addTrailer('x-seen', context.header('x-text') ?? 'none');
        context.addTrailer('x-seen-bin', context.binaryHeaders('x-many-bin')[1] ?? new Uint8Array());
        expect(context.headerNames()).toContain('x-text');
        expect(context.remainingMilliseconds()).toBeGreaterThan(50_000);
        return { committedSize: BigInt(request.resourceName.length), complete: true };
      },
    });
    const metadata = new Metadata();
    metadata.set('x-text', 'hello');
    metadata.add('x-many-bin', Buffer.from([1]));
    metadata.add('x-many-bin', Buffer.from([2, 255]));
    const { response, trailers } = await query(client, 'four', metadata, { deadline: Date.now() + 60_000 });
    expect(response).toEqual({ committedSize: 4n, complete: true });
    expect(trailers.get('x-seen')).toEqual(['hello']);
    expect(trailers.get('x-seen-bin')).toEqual([Buffer.from([2, 255])]);
  });

  it('take as many headers as a bot with several hundred leases sends', async () => {
    const { client } = await serve({
      async queryWriteStatus(_request, context) {
        return { committedSize: BigInt(context.headerNames().length), complete: true };
      },
    });
    const metadata = new Metadata();
    for (let i = 0; i < 400; i++) metadata.set(`x-lease-${i}-bin`, Buffer.from('so far'));
    const { response, error } = await query(client, 'four', metadata, { deadline: Date.now() + 60_000 });
    expect(error).toBeUndefined();
    expect(Number(response?.committedSize)).toBeGreaterThanOrEqual(400);
  });

  it('do not abort the signal when they end well', async () => {
    let signal: AbortSignal | undefined;
    const { client, server } = await serve({
      async queryWriteStatus(_request, context) {
        signal = context.signal;
        return { committedSize: 0n, complete: false };
      },
    });
    await query(client, 'x');
    client.close();
    await server.stop(NEVER);
    expect(signal?.aborted).toBe(false);
  });

  it('abort the signal when the client goes, and log nothing', async () => {
    const started = new Deferred<void>();
    const aborted = new Deferred<void>();
    const errors: string[] = [];
    const logger = { ...silentLogger, error: (_fields: object, message: string) => errors.push(message) };
    const { client, outcomes, ended } = await serve(
      {
        async queryWriteStatus(_request, { signal }) {
          started.resolve();
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
          aborted.resolve();
          throw new Error('whatever a broken connection leads to');
        },
      },
      logger,
    );
    const call = client.queryWriteStatus({ resourceName: 'x' }, () => {});
    await started.promise;
    call.cancel();
    await aborted.promise;
    await ended;
    expect(errors).toEqual([]);
    expect(outcomes.map(({ code }) => code)).toEqual([StatusCode.CANCELLED]);
  });

  it('carry code, text and details of a StatusError', async () => {
    const { client } = await serve({
      queryWriteStatus: () => Promise.reject(unavailable('come again', 1_500)),
    });
    const { error } = await query(client, 'x');
    expect(error).toMatchObject({ code: StatusCode.UNAVAILABLE, details: 'come again' });
    const [encoded] = error?.metadata.get('grpc-status-details-bin') ?? [];
    const status = decodeStatus(encoded as Buffer);
    expect(status && statusFromWire(status).details).toEqual([{ kind: 'retry-info', retryDelayMilliseconds: 1_500 }]);
  });

  it('answer INTERNAL without the text of any other error, and log it with path and stack', async () => {
    const logged: object[] = [];
    const logger = { ...silentLogger, error: (fields: object) => logged.push(fields) };
    const secret = new Error('a secret');
    const { client } = await serve({ queryWriteStatus: () => Promise.reject(secret) }, logger);
    const { error } = await query(client, 'x');
    expect(error?.code).toBe(StatusCode.INTERNAL);
    expect(error?.details).not.toContain('secret');
    expect(logged).toEqual([
      { err: secret, call: '/google.bytestream.ByteStream/QueryWriteStatus', peer: expect.any(String) },
    ]);
  });

  it('bear a text that is long once it is encoded, cut to what trailers hold', async () => {
    const { client } = await serve({
      queryWriteStatus: () => Promise.reject(notFound('\u20ac'.repeat(5_000))),
    });
    const { error } = await query(client, 'x');
    expect(error?.code).toBe(StatusCode.NOT_FOUND);
    expect(error?.details).toMatch(/^\u20ac{100,}\.\.\.$/);
    expect(encodeURI(error?.details ?? '').length).toBeLessThanOrEqual(2_100);
  });

  it('bear a text with half a surrogate pair, and more violations than trailers may hold', async () => {
    const violations = Array.from({ length: 1_000 }, (_, i) => ({
      type: 'MISSING',
      subject: `blobs/${'0'.repeat(64)}/${i}`,
      description: '',
    }));
    const { client } = await serve({
      queryWriteStatus: () =>
        Promise.reject(
          new StatusError(StatusCode.FAILED_PRECONDITION, 'bad \ud800 text', {
            details: [{ kind: 'precondition-failure', violations }],
          }),
        ),
    });
    const { error } = await query(client, 'x');
    expect(error).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, details: 'bad \ufffd text' });
    const status = decodeStatus(error?.metadata.get('grpc-status-details-bin')[0] as Buffer);
    const detail = status && statusFromWire(status).details[0];
    const kept = detail?.kind === 'precondition-failure' ? detail.violations.length : 0;
    expect(kept).toBeGreaterThan(10);
    expect(kept).toBeLessThan(1_000);
  });

  it('refuse garbage with INVALID_ARGUMENT', async () => {
    const { client } = await serve({});
    const error = await new Promise<ServiceError | null>((resolve) => {
      client.makeUnaryRequest(
        FastByteStreamService.queryWriteStatus.path,
        () => Buffer.from([0x0a, 0xff, 0xff]),
        (encoded: Buffer) => encoded,
        {},
        (thrown) => resolve(thrown),
      );
    });
    expect(error?.code).toBe(StatusCode.INVALID_ARGUMENT);
  });

  it('refuse a message over the limit with RESOURCE_EXHAUSTED that names the limit', async () => {
    const { client } = await serve({});
    const { error } = await query(client, 'x'.repeat(OPTIONS.maxReceiveMessageBytes));
    expect(error?.code).toBe(StatusCode.RESOURCE_EXHAUSTED);
    expect(error?.details).toContain(String(OPTIONS.maxReceiveMessageBytes));
  });

  it('bear a deadline in three thousand years', async () => {
    const { client } = await serve({
      async queryWriteStatus(_request, context) {
        return { committedSize: 1n, complete: context.remainingMilliseconds() === undefined };
      },
    });
    const metadata = new Metadata();
    const { response } = await query(client, 'x', metadata, { deadline: Date.now() + 3_000 * 365 * 86_400_000 });
    expect(response?.complete).toBe(true);
  });
});

describe('calls with a stream of responses', () => {
  it('pull the next response only when the client keeps up', async () => {
    let made = 0;
    const { client } = await serve({
      async *read() {
        for (; made < 1_000; made++) yield { data: Buffer.alloc(1024 * 1024) };
      },
    });
    const call = client.read({ resourceName: 'x', readOffset: 0n, readLimit: 0n });
    const iterator = call[Symbol.asyncIterator]();
    await iterator.next();
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(made).toBeLessThan(100);
    await iterator.return?.();
  });

  it('run the finally of a generator whose client has gone', async () => {
    const cleaned = new Deferred<void>();
    const { client } = await serve({
      async *read() {
        try {
          for (;;) yield { data: Buffer.alloc(1024 * 1024) };
        } finally {
          cleaned.resolve();
        }
      },
    });
    const call = client.read({ resourceName: 'x', readOffset: 0n, readLimit: 0n });
    call.on('error', () => {});
    call.once('data', () => call.cancel());
    await expect(cleaned.promise).resolves.toBeUndefined();
  });
});

describe('calls with a stream of requests', () => {
  it('take every request in order, and read no faster than the method', async () => {
    const { client } = await serve({
      async write(requests) {
        let size = 0;
        for await (const request of requests) {
          expect(request.writeOffset).toBe(BigInt(size));
          size += request.data.byteLength;
        }
        return { committedSize: BigInt(size) };
      },
    });
    const response = await new Promise<WriteResponse>((resolve, reject) => {
      const call = client.write((error, value) => (error === null ? resolve(value) : reject(error)));
      for (let i = 0; i < 64; i++) {
        const data = Buffer.alloc(64 * 1024);
        call.write({ resourceName: '', writeOffset: BigInt(i * data.byteLength), data, finishWrite: i === 63 });
      }
      call.end();
    });
    expect(response.committedSize).toBe(BigInt(4 * 1024 * 1024));
  });

  it('may be answered before the client has sent all', async () => {
    const { client } = await serve({ write: async () => ({ committedSize: 7n }) });
    const response = await new Promise<WriteResponse>((resolve, reject) => {
      client.write((error, value) => (error === null ? resolve(value) : reject(error)));
    });
    expect(response.committedSize).toBe(7n);
  });

  it('take megabytes that the server has not acknowledged, so that latency does not bound an upload', async () => {
    const { server } = await serve({
      async write(requests) {
        for await (const _request of requests);
        return { committedSize: 0n };
      },
    });
    const proxy = new DelayingProxy({ targetPort: server.port, delayMilliseconds: 1 });
    cleanups.push(() => proxy.close());
    const client = connect(await proxy.listen());
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + 10_000, (error) => (error === undefined ? resolve() : reject(error)));
    });
    // From here on no window update reaches the client.
    await proxy.untilPassed('down', 1);
    await query(client, 'settings have arrived once a call is answered');
    proxy.hold('down');
    const before = proxy.passed('up');
    const done = new Promise<void>((resolve, reject) => {
      const call = client.write((error) => (error === null ? resolve() : reject(error)));
      for (let i = 0; i < 12; i++) {
        const data = Buffer.alloc(256 * 1024);
        call.write({ resourceName: '', writeOffset: 0n, data, finishWrite: false });
      }
      call.end();
    });
    await proxy.untilPassed('up', before + 3 * 1024 * 1024);
    expect(proxy.passed('up') - before).toBeGreaterThan(64 * 1024);
    proxy.release('down');
    await done;
  });
});

describe('a drain', () => {
  it('tells running calls, lets them end, and takes no new ones', async () => {
    const started = new Deferred<void>();
    const { client, server } = await serve({
      async queryWriteStatus(_request, { draining }) {
        started.resolve();
        await new Promise<void>((resolve) => draining.addEventListener('abort', () => resolve()));
        return { committedSize: 9n, complete: true };
      },
    });
    const answer = query(client, 'x');
    await started.promise;
    const stopped = server.stop(NEVER);
    expect((await answer).response?.committedSize).toBe(9n);
    await stopped;
    expect(server.activeCalls).toBe(0);
    const { error } = await query(connect(server.port), 'late');
    expect(error?.code).toBe(StatusCode.UNAVAILABLE);
  });

  it('ends calls that do not end with UNAVAILABLE and RetryInfo once it is forced', async () => {
    const started = new Deferred<void>();
    const { client, server } = await serve({
      async queryWriteStatus(_request, { signal }) {
        started.resolve();
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        throw signal.reason;
      },
    });
    const answer = query(client, 'x');
    await started.promise;
    const force = new AbortController();
    const stopped = server.stop(force.signal);
    force.abort();
    const { error } = await answer;
    expect(error?.code).toBe(StatusCode.UNAVAILABLE);
    expect(error?.metadata.get('grpc-status-details-bin')).toHaveLength(1);
    await stopped;
  });

  it('names the address when it is taken', async () => {
    const { server } = await serve({});
    const second = new RpcServer({ ...OPTIONS, address: `127.0.0.1:${server.port}` }, new SystemClock(), silentLogger, {
      callStarted: () => () => {},
    });
    await expect(second.start(NEVER)).rejects.toThrow(`cannot listen on 127.0.0.1:${server.port}`);
  });
});
